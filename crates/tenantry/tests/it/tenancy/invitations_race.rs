//! Many who accept at once, in parallel transactions.

use std::sync::Arc;

use tenantry::tenancy::audit::Verdict;
use tenantry::tenancy::{Actor, TenancyError, invitations, members};
use tenantry_domain::permission::Role;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::invitations::{accept, invite};
use super::places;
use super::world::World;

const ROUNDS: usize = 1_000;

/// Two users who accept at the same moment, each by its own address and token.
async fn both(world: &Arc<World>, accepts: [(Uuid, String, String); 2]) -> Vec<Result<Uuid, TenancyError>> {
    let barrier = Arc::new(Barrier::new(accepts.len()));
    let running: Vec<_> = accepts
        .into_iter()
        .map(|(user, email, token)| {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                accept(&world, user, &email, &token).await.map(|accepted| accepted.member.user_id)
            })
        })
        .collect();
    futures::future::join_all(running).await.into_iter().map(Result::unwrap).collect()
}

/// The one who got in; the other was told what is due.
fn winner(results: &[Result<Uuid, TenancyError>], due: fn(&TenancyError) -> bool) -> Option<Uuid> {
    let (won, lost): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.is_ok());
    let fair = lost.iter().all(|result| result.as_ref().is_err_and(due));
    match won.as_slice() {
        [Ok(user)] if fair => Some(*user),
        _ => None,
    }
}

async fn members_of(world: &World, tenant: Uuid) -> i64 {
    world.count(&format!("select count(*) from tenantry.tenant_members where tenant_id = '{tenant}'")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_accept_for_the_last_place_a_thousand_times_are_always_one() {
    let world = Arc::new(places::world(2).await);
    let tenant = world.organization(world.user().await).await;
    let (one, two) = (world.user().await, world.user().await);
    let by = (Actor::User(tenant.owner_id), tenant.id);
    for round in 0..ROUNDS {
        // Addresses of their own: there is an end to the mails that one gets in a day.
        let [at_one, at_two] = ["one", "two"].map(|name| format!("{name}{round}@example.com"));
        let first = invite(&world, by, &at_one, Role::Member).await.unwrap();
        let second = invite(&world, by, &at_two, Role::Member).await.unwrap();
        let ids = [first.row.id, second.row.id];
        let accepts = [(one, at_one, first.token), (two, at_two, second.token)];
        let results = both(&world, accepts).await;
        let won = winner(&results, |error| matches!(error, TenancyError::MembersFull { places: 2, .. }));
        let won = won.unwrap_or_else(|| panic!("round {round}: {results:?}"));
        assert_eq!(members_of(&world, tenant.id).await, 2, "round {round}: {results:?}");
        // Who came too late could still accept: there is an end to the invitations that are pending.
        let late = ids[usize::from(won == one)];
        invitations::revoke(&world.db, &world.env, by.0, tenant.id, late).await.unwrap();
        members::remove(&world.db, &world.env, by.0, tenant.id, won).await.unwrap();
    }
    let accepted = world.count("select count(*) from tenantry.invitations where state = 'accepted'").await;
    assert_eq!(accepted, i64::try_from(ROUNDS).unwrap());
    assert!(
        matches!(world.chain(tenant.id).await, Verdict::Intact { entries, .. } if entries == 5 * ROUNDS as u64 + 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_accept_one_invitation_a_thousand_times_are_always_one() {
    let world = Arc::new(World::new().await);
    let tenant = world.organization(world.user().await).await;
    let (one, two) = (world.user().await, world.user().await);
    let by = (Actor::User(tenant.owner_id), tenant.id);
    for round in 0..ROUNDS {
        let address = format!("bea{round}@example.com");
        let invited = invite(&world, by, &address, Role::Member).await.unwrap();
        // Two accounts of one address, or one account on two devices.
        let second = if round % 2 == 0 { two } else { one };
        let accepts = [(one, address.clone(), invited.token.clone()), (second, address, invited.token)];
        let results = both(&world, accepts).await;
        let won =
            winner(&results, |error| matches!(error, TenancyError::InvitationInvalid | TenancyError::AlreadyMember));
        let won = won.unwrap_or_else(|| panic!("round {round}: {results:?}"));
        assert_eq!(members_of(&world, tenant.id).await, 2, "round {round}: {results:?}");
        members::remove(&world.db, &world.env, by.0, tenant.id, won).await.unwrap();
    }
    let sql = "select count(*) from tenantry.billing_events where type = 'invitation.accepted'";
    assert_eq!(world.count(sql).await, i64::try_from(ROUNDS).unwrap());
    assert!(
        matches!(world.chain(tenant.id).await, Verdict::Intact { entries, .. } if entries == 3 * ROUNDS as u64 + 1)
    );
}
