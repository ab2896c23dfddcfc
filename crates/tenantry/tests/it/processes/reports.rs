//! `tenantry bench reports`, beside a running server.

use serde_json::Value;

use super::server::{Folder, Server};

#[tokio::test]
async fn reports_of_made_usage_are_measured_and_the_usage_is_taken_away_again() {
    let folder = Folder::new();
    let plans = std::fs::read_to_string(folder.0.join("plans.toml")).unwrap();
    std::fs::write(folder.0.join("plans.toml"), format!("{plans}[metrics.tokens]\ndimensions = [\"model\"]\n"))
        .unwrap();
    let server = Server::start(&folder);
    let bench = ["--json", "bench", "reports", "--url", &server.url, "--seconds", "1"];
    // The command itself compares the report with the events.
    let said = folder.says(&[&bench[..], &["--events", "6000", "--users", "3", "--values", "4"]].concat());
    let measured: Value = serde_json::from_str(&said).unwrap();
    // 744 hours, 31 days; three metrics and users.
    assert_eq!((&measured["events"], &measured["dayRows"]), (&6000.into(), &(31 * 3 * 3).into()), "{measured}");
    let lines = measured["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line["what"] == "by model, one metric"), "{measured}");
    assert!(lines.iter().all(|line| line["errors"] == 0), "{measured}");
    let admin: tokio_postgres::Config = folder.says(&["database", "url", "--as", "owner"]).parse().unwrap();
    let client = tenantry::storage::migrate::connect(&admin).await.unwrap();
    for table in ["tenant_usage", "usage_counters", "usage_periods", "usage_day_rollups", "usage_dimension_rollups"] {
        let left: i64 = client.query_one(&format!("select count(*) from tenantry.{table}"), &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "{table}");
    }
    assert!(folder.says(&["verify"]).ends_with("the books are right"));
    drop(server);
}
