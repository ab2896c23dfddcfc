//! What a member of a team reads of the owner's tenant past all code of ours: the team, who is in it, and the plan.

use super::world::{A, Attempts, B, OUTSIDER, TwoTenants, insert};

/// What a member sees of the tenant, and how many rows.
const SEEN: &[(&str, i64)] = &[("teams", 1), ("team_members", 2), ("tenant_subscriptions", 1)];

#[tokio::test]
async fn attack_25_a_member_of_a_team_reads_the_team_and_the_plan_and_nothing_else() {
    let world = TwoTenants::new().await;
    // The outsider in A's team, beside A's user; and more of A's that is not for the team.
    for sql in
        [insert("team_members", A, 1, &[]), insert("teams", A, 1, &[]), insert("tenant_subscriptions", A, 1, &[])]
    {
        world.admin.batch_execute(&sql).await.unwrap();
    }
    let (outsider, a, b) = (OUTSIDER.to_string(), A.tenant.to_string(), B.tenant.to_string());
    let claims = format!(r#"{{"sub": "{outsider}"}}"#);
    let scopes: [(&[(&str, &str)], bool); 6] = [
        (&[("app.user_id", &outsider)], true),
        (&[("app.user_id", &outsider), ("app.tenant_id", &a)], true),
        (&[("request.jwt.claims", &claims)], true),
        // The active tenant narrows a team, too.
        (&[("app.user_id", &outsider), ("app.tenant_id", &b)], false),
        (&[("app.key_id", &outsider)], false),
        (&[("app.tenant_id", &a)], false),
    ];
    for (settings, is_member) in scopes {
        let attempts = Attempts::new(&world.test.logins.user, settings).await;
        for table in world.tables.iter().filter(|table| table.is_owned()) {
            let Some((of_a, of_b, _)) = attempts.seen(table).await else { continue };
            let due = SEEN.iter().find(|(name, _)| is_member && *name == table.name).map_or(0, |(_, rows)| *rows);
            assert_eq!((of_a, of_b), (due, 0), "{} under {settings:?}", table.name);
        }
    }
    // Out of it, nothing is left.
    let out = format!("delete from tenantry.team_members where user_id = '{OUTSIDER}'");
    world.admin.batch_execute(&out).await.unwrap();
    let attempts = Attempts::new(&world.test.logins.user, &[("app.user_id", &outsider)]).await;
    for table in world.tables.iter().filter(|table| table.is_owned()) {
        let Some((of_a, of_b, _)) = attempts.seen(table).await else { continue };
        assert_eq!((of_a, of_b), (0, 0), "{}", table.name);
    }
}
