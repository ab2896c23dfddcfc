use tenantry_sandbox::{Sandbox, SandboxError, Settings, Source};

use crate::world::{DAY, World, id, start_time};

#[tokio::test]
async fn the_state_survives_a_restart_with_its_clock() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let begin = async || {
        let (source, time) = Source::manual(start_time(), 3);
        World::with(source, time, Some(file.clone())).await
    };
    let world = begin().await;
    let pro = world.price("Pro", "2900", "month").await;
    let subscription = world.subscribed(&pro, &[]).await;
    world.advance(10 * DAY).await;
    let before = world.control.dump();
    let events = world.event_types().await;
    world.sandbox.stop().await;
    let again = begin().await;
    assert_eq!(again.control.dump(), before);
    assert_eq!(again.event_types().await, events);
    again.advance(22 * DAY).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    assert_ne!(again.get(&path).await["latest_invoice"], subscription["latest_invoice"]);
}

#[tokio::test]
async fn a_damaged_file_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    for damage in ["{\"format\":1,\"state\":{\"seed\":", "{\"format\":1,\"state\":{}}", "{\"format\":9,\"state\":{}}"] {
        std::fs::write(&file, damage).unwrap();
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret_key: "sk_test".to_owned().into(),
            webhook: None,
            state_file: Some(file.clone()),
            source: Source::manual(start_time(), 1).0,
            on_clock: None,
        };
        let error = Sandbox::start(settings).await.unwrap_err();
        assert!(matches!(error, SandboxError::Damaged { .. }));
        let text = error.to_string();
        assert!(text.contains("state.json") && text.contains("move it away") && !text.contains('\n'), "{text}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damage, "a damaged file is left as it is");
    }
}
