//! Deleting a user's account.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tenantry::storage::ReadScope;
use tenantry::storage::tenants::TenantRow;
use tenantry::tenancy::audit::Verdict;

use tenantry::tenancy::invitations::token::{MintedToken, PresentedToken};
use tenantry::tenancy::invitations::{self, Invitee, NewInvitation};
use tenantry::tenancy::members::{self, MemberPatch, NewMember};
use tenantry::tenancy::organizations::{self, NewOrganization, TenantPatch};
use tenantry::tenancy::{Actor, TenancyError, accounts, keys, teams, users};
use tenantry::usage::books;
use tenantry_domain::permission::{Overrides, Role};
use uuid::Uuid;

use super::world::World;

impl World {
    async fn delete(&self, user: Uuid) -> Result<(), TenancyError> {
        accounts::delete(&self.db, &self.env, Actor::User(user), user).await
    }

    async fn make(&self, actor: Uuid, tenant: Uuid, user: Uuid, role: Role) {
        let patch = MemberPatch { role: Some(role), permissions: None };
        members::change(&self.db, &self.env, Actor::User(actor), tenant, user, &patch).await.unwrap();
    }

    async fn add(&self, actor: Uuid, tenant: Uuid, user_id: Uuid) -> Result<(), TenancyError> {
        let new = NewMember { user_id, role: Role::Member, permissions: Overrides::default() };
        members::add(&self.db, &self.env, Actor::User(actor), tenant, &new, None).await.map(drop)
    }

    /// Everything in the schema, a text for each row: table and row.
    async fn everything(&self) -> Vec<(String, String)> {
        let tables = "select relname::text from pg_class
                      where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p') and not relispartition
                      order by 1";
        let mut rows = Vec::new();
        for table in self.admin.query(tables, &[]).await.unwrap() {
            let table: String = table.get(0);
            let sql = format!("select t::text from tenantry.{table} t order by 1");
            for row in self.admin.query(&sql, &[]).await.unwrap() {
                rows.push((table.clone(), row.get(0)));
            }
        }
        rows
    }

    async fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str, id: Uuid) -> T {
        self.admin.query_one(sql, &[&id]).await.unwrap().get(0)
    }
}

fn lost(refused: &TenancyError) -> Vec<Uuid> {
    let TenancyError::OnlyOwner(organizations) = refused else { panic!("{refused:?}") };
    assert!(organizations.iter().all(|(_, name)| name == "Acme"), "{organizations:?}");
    organizations.iter().map(|(id, _)| *id).collect()
}

#[tokio::test]
async fn attack_21_deleting_the_only_owners_account_is_refused_with_the_list_of_organizations() {
    let world = World::new().await;
    let (user, other) = (world.user().await, world.user().await);
    let mut alone = Vec::new();
    for _ in 0..2 {
        alone.push(world.organization(user).await.id);
    }
    let (shared, joined) = (world.organization(user).await.id, world.organization(other).await.id);
    world.add(user, shared, other).await.unwrap();
    world.make(user, shared, other, Role::Owner).await;
    world.add(other, joined, user).await.unwrap();
    world.make(other, joined, user, Role::Admin).await;
    let before = world.everything().await;
    let refused = world.delete(user).await.unwrap_err();
    let mut named = lost(&refused);
    named.sort_unstable();
    alone.sort_unstable();
    assert_eq!(named, alone);
    assert_eq!(world.everything().await, before, "something was done");

    // Once each has another owner, or is gone, nothing stands in the way.
    organizations::delete(&world.db, &world.env, Actor::User(user), alone[0]).await.unwrap();
    assert_eq!(lost(&world.delete(user).await.unwrap_err()), [alone[1]]);
    world.add(user, alone[1], other).await.unwrap();
    world.make(user, alone[1], other, Role::Owner).await;
    world.delete(user).await.unwrap();
    let memberships = "select count(*) from tenantry.tenant_members where user_id = $1";
    assert_eq!(world.one::<i64>(memberships, user).await, 0);
    assert_eq!(world.one::<i64>(memberships, other).await, 4);
    for tenant in [alone[1], shared, joined] {
        assert_eq!(world.deeds(tenant).await.last().unwrap(), "member.removed");
    }
    assert_eq!(world.deeds(user).await, ["tenant.created", "user.deleted"]);
    assert_eq!(books::prove(&world.db, None).await.unwrap().differences, []);
}

/// A user whose address, and names that it gave, stand wherever they can: in its own tenant, in one that it is in, in
/// one that it left, in one that was deleted, and in mails to it.
async fn well_known(world: &World) -> (Uuid, TenantRow, TenantRow) {
    let user = world.id();
    let signed_in =
        async |address: &str| users::ensure_signed_in(&world.db, &world.env, user, Some(address), true).await.unwrap();
    assert!(signed_in("zelda.once@example.com").await);
    let owner = world.user().await;
    let (stays, left, gone) =
        (world.organization(owner).await, world.organization(owner).await, world.organization(owner).await);
    // Invited and in under an address of before.
    let joined = world.organization(owner).await;
    let invite = async |tenant: Uuid, email: &str| {
        let invited = NewInvitation {
            email: email.to_owned(),
            role: Role::Member,
            permissions: Overrides::default(),
            valid_for: SignedDuration::from_hours(1),
        };
        let token = MintedToken::new(&world.env, tenant);
        let by = (Actor::User(owner), tenant);
        invitations::create(&world.db, &world.env, by, &invited, &token, None).await.unwrap();
        token
    };
    let token = invite(joined.id, "zelda.once@example.com").await;
    let invitee = Invitee { user_id: user, email: "zelda.once@example.com" };
    let token = PresentedToken::parse(token.expose()).unwrap();
    invitations::accept(&world.db, &world.env, invitee, &token, None).await.unwrap();
    assert!(!signed_in("zelda.fitz@example.com").await);
    for tenant in [&stays, &left, &gone] {
        world.add(owner, tenant.id, user).await.unwrap();
        world.make(owner, tenant.id, user, Role::Admin).await;
    }
    let patch = async |tenant: Uuid, patch: TenantPatch| {
        organizations::patch(&world.db, &world.env, Actor::User(user), tenant, &patch).await.unwrap();
    };
    let own = TenantPatch {
        name: Some("Zelda Fitz".to_owned()),
        slug: Some("zelda-fitz".to_owned()),
        billing_email: Some(Some("zelda.bills@example.com".to_owned())),
    };
    patch(user, own).await;
    // An organization's billing address is its own, also where it was the user's for a while.
    for address in ["zelda.fitz@example.com", "bills@acme.example"] {
        let billing_email = Some(Some(address.to_owned()));
        patch(stays.id, TenantPatch { billing_email, ..TenantPatch::default() }).await;
    }
    members::leave(&world.db, &world.env, user, left.id, None).await.unwrap();
    organizations::delete(&world.db, &world.env, Actor::User(owner), gone.id).await.unwrap();
    // Invited once more where it is no member, and where nobody is any more; in a team of somebody who is in nothing
    // else with it, and with a team and a key of its own.
    invite(left.id, "Zelda.Fitz@example.com").await;
    let ended = world.organization(owner).await;
    invite(ended.id, "zelda.fitz@example.com").await;
    organizations::delete(&world.db, &world.env, Actor::User(owner), ended.id).await.unwrap();
    teams::create(&world.db, &world.env, user, "Zelda's family", None).await.unwrap();
    super::keys::named_key_of(world, user, user, "Zelda's laptop").await;
    let team_owner = world.user().await;
    let team = teams::create(&world.db, &world.env, team_owner, "Research", None).await.unwrap().done().unwrap();
    teams::add_member(&world.db, &world.env, team_owner, &team, user, None).await.unwrap();
    let mails = "with told as (
            insert into tenantry.notifications (tenant_id, id, kind, dedupe_key, data, created_at)
            select tenant_id, gen_random_uuid(), 'test', state, '{}', now()
            from unnest($1::uuid[]) as t (tenant_id), unnest(array['kept', 'failed', 'pending']) as s (state)
            returning tenant_id, id, dedupe_key
        )
        insert into tenantry.notification_mails (tenant_id, id, notification_id, address, state, last_error, created_at)
        select tenant_id, gen_random_uuid(), id, address, dedupe_key,
               case dedupe_key when 'failed' then address || ' is unknown' end, now()
        from told, unnest($2::text[]) as a (address)";
    let of_both = ["Zelda.Fitz@example.com", "someone.else@example.com"].map(str::to_owned);
    world.admin.execute(mails, &[&[stays.id].as_slice(), &of_both.as_slice()]).await.unwrap();
    let own = ["zelda.fitz@example.com", "zelda.bills@example.com"].map(str::to_owned);
    world.admin.execute(mails, &[&[user].as_slice(), &own.as_slice()]).await.unwrap();
    (user, stays, left)
}

#[tokio::test]
async fn what_is_personal_is_erased_and_the_rest_stays() {
    let world = World::new().await;
    let (user, stays, left) = well_known(&world).await;
    let is_personal = |(_, row): &&(String, String)| row.to_lowercase().contains("zelda");
    let before = world.everything().await;
    let tables: std::collections::BTreeSet<&str> =
        before.iter().filter(is_personal).map(|(table, _)| table.as_str()).collect();
    assert_eq!(
        tables.into_iter().collect::<Vec<_>>(),
        ["api_keys", "billing_events", "invitations", "notification_mails", "teams", "tenants", "users"]
    );
    world.delete(user).await.unwrap();
    let after = world.everything().await;
    assert_eq!(after.iter().filter(is_personal).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    let rows = |all: &[(String, String)], table: &str| all.iter().filter(|(name, _)| name == table).count();
    for table in ["users", "tenants", "usage_periods", "notification_mails", "tenant_subscriptions"] {
        assert_eq!(rows(&after, table), rows(&before, table), "{table}");
    }
    // What was still to be sent is not sent, and the mails of others are as they were.
    let states = "select string_agg(state || ' ' || (address like 'someone%')::text, ', ' order by state, address like 'someone%')
                  from tenantry.notification_mails where tenant_id = $1";
    let due = "failed false, failed false, failed true, kept false, kept true, pending true";
    assert_eq!(world.one::<String>(states, stays.id).await, due);

    // Chains hold: what was blanked is counted, and what is about others is still told.
    for (tenant, blanked) in [(user, 6), (stays.id, 4), (left.id, 4)] {
        let Verdict::Intact { entries, blanked: found } = world.chain(tenant).await else { panic!("{tenant}") };
        assert_eq!(found, blanked, "{tenant}");
        assert!(entries > blanked);
    }
    let last = "select payload from tenantry.billing_events where tenant_id = $1 order by sequence desc limit 1";
    let told = |role: Value, blanked: u64, forgotten: u64| {
        json!({
            "reason": "account_deleted", "role": role, "payloads_blanked": blanked, "invitations_forgotten": forgotten,
        })
    };
    assert_eq!(world.one::<Value>(last, stays.id).await, told(json!("admin"), 4, 0));
    assert_eq!(world.deeds(left.id).await.last().unwrap(), "member.erased");
    let invited = "select state || ' ' || email from tenantry.invitations where tenant_id = $1";
    assert_eq!(world.one::<String>(invited, left.id).await, "revoked erased");
    assert_eq!(world.count("select count(*) from tenantry.team_members").await, 0);
    assert_eq!(world.one::<Value>(last, left.id).await, told(Value::Null, 4, 1));
    let kept = "select payload from tenantry.billing_events where tenant_id = $1 and sequence = 1";
    assert_eq!(world.one::<Value>(kept, stays.id).await["name"], "Acme");
    let settings = "select settings from tenantry.tenants where id = $1";
    assert_eq!(world.one::<Value>(settings, stays.id).await, json!({ "billing_email": "bills@acme.example" }));
    assert_eq!(world.one::<Value>(settings, user).await, json!({}));
    assert_eq!(books::prove(&world.db, None).await.unwrap().differences, []);
}

#[tokio::test]
async fn a_deleted_account_is_nobody_for_ever() {
    let world = World::new().await;
    let (user, owner) = (world.user().await, world.user().await);
    let tenant = world.organization(owner).await;
    world.add(owner, tenant.id, user).await.unwrap();
    world.delete(user).await.unwrap();
    let before = world.everything().await;
    for email in [None, Some("new@example.com")] {
        for actor in [Actor::User(user), Actor::System] {
            let refused = users::ensure(&world.db, &world.env, actor, user, email).await;
            assert!(matches!(refused, Err(TenancyError::AccountDeleted)), "{refused:?}");
        }
    }
    let refused = world.add(owner, tenant.id, user).await;
    assert!(matches!(refused, Err(TenancyError::Invalid(fields)) if fields[0].field == "userId"));
    let create = async |actor| {
        let new = NewOrganization { name: "Acme".to_owned(), owner_id: Some(user), ..NewOrganization::default() };
        organizations::create(&world.db, &world.env, actor, &new, None).await.map(drop)
    };
    assert!(matches!(create(Actor::User(user)).await, Err(TenancyError::AccountDeleted)));
    assert!(matches!(create(Actor::System).await, Err(TenancyError::Invalid(fields)) if fields[0].field == "ownerId"));
    assert!(matches!(world.delete(user).await, Err(TenancyError::AccountDeleted)));
    let again = accounts::delete(&world.db, &world.env, Actor::System, user).await;
    assert!(matches!(again, Err(TenancyError::NotFound)));
    let unknown = accounts::delete(&world.db, &world.env, Actor::System, world.id()).await;
    assert!(matches!(unknown, Err(TenancyError::NotFound)));
    assert_eq!(world.everything().await, before);
    // Nothing is seen under its name.
    let tx = world.db.read("test", ReadScope { user_id: Some(user), ..ReadScope::default() }).await.unwrap();
    assert_eq!(tenantry::storage::members::memberships(&tx, user, None, 10).await.unwrap(), []);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn only_the_user_and_the_host_application_delete_an_account() {
    let world = World::new().await;
    let (user, other) = (world.user().await, world.user().await);
    let tenant = world.organization(user).await;
    let key = super::keys::key_of(&world, user, tenant.id).await;
    for actor in
        [Actor::User(other), Actor::Key { id: key, tenant_id: tenant.id }, Actor::Key { id: key, tenant_id: user }]
    {
        let refused = accounts::delete(&world.db, &world.env, actor, user).await;
        assert!(matches!(refused, Err(TenancyError::Forbidden { needed: "deleteUser", .. })), "{refused:?}");
    }
    let unknown = accounts::delete(&world.db, &world.env, Actor::ServiceKey(world.id()), user).await;
    assert!(matches!(unknown, Err(TenancyError::NotFound)));
}

#[tokio::test]
async fn keys_of_the_personal_tenant_end_and_those_of_organizations_stay_theirs() {
    let world = World::new().await;
    let (user, other) = (world.user().await, world.user().await);
    let tenant = world.organization(user).await;
    world.add(user, tenant.id, other).await.unwrap();
    world.make(user, tenant.id, other, Role::Owner).await;
    let (own, of_organization) =
        (super::keys::key_of(&world, user, user).await, super::keys::key_of(&world, user, tenant.id).await);
    world.delete(user).await.unwrap();
    let works = async |key| keys::find(&world.db, key).await.unwrap().unwrap().works;
    assert_eq!((works(own).await, works(of_organization).await), (false, true));
}

#[tokio::test]
async fn a_slug_that_a_deletion_frees_inherits_nothing() {
    let world = World::new().await;
    let (user, other) = (world.user().await, world.user().await);
    let patch = TenantPatch { slug: Some("zelda".to_owned()), ..TenantPatch::default() };
    organizations::patch(&world.db, &world.env, Actor::User(user), user, &patch).await.unwrap();
    let take = async || {
        let new =
            NewOrganization { name: "Zelda".to_owned(), slug: Some("zelda".to_owned()), ..NewOrganization::default() };
        organizations::create(&world.db, &world.env, Actor::User(other), &new, None).await
    };
    assert!(matches!(take().await, Err(TenancyError::SlugTaken(_))));
    world.delete(user).await.unwrap();
    let next = take().await.unwrap().done().unwrap();
    assert_ne!(next.id, user);
    let members = "select count(*) from tenantry.tenant_members where tenant_id = $1";
    assert_eq!(world.one::<i64>(members, next.id).await, 1);
    assert_eq!(world.deeds(next.id).await, ["tenant.created"]);
}

#[tokio::test]
async fn an_account_stays_while_its_tenant_pays_or_has_use_that_is_to_be_billed() {
    let world = World::new().await;
    let user = world.user().await;
    let change = async |sql: &str| {
        assert!(world.admin.execute(&sql.replace("{t}", &format!("'{user}'")), &[]).await.unwrap() > 0, "{sql}");
    };
    let before = world.everything().await;
    let subscription = "update tenantry.tenant_subscriptions set {what} where tenant_id = {t}";
    for (what, back) in [("plan_id = 'pro'", "plan_id = 'free'"), ("provider = 'stripe'", "provider = null")] {
        change(&subscription.replace("{what}", what)).await;
        assert!(matches!(world.delete(user).await, Err(TenancyError::ActiveSubscription(_))), "{what}");
        change(&subscription.replace("{what}", back)).await;
    }
    change(
        "insert into tenantry.billing_operations (tenant_id, id, kind, state, request, actor, created_at)
         values ({t}, gen_random_uuid(), 'checkout', 'running', '{}', 'system', now())",
    )
    .await;
    assert!(matches!(world.delete(user).await, Err(TenancyError::Conflict(why)) if why.contains("under way")));
    change("delete from tenantry.billing_operations where tenant_id = {t}").await;
    // `minutes` costs above 10.5; `api_calls` has a hard limit and costs nothing.
    change(
        "insert into tenantry.usage_counters
            (tenant_id, metric, period_start, period_end, segment_sequence, segment_start, in_plan, included, total, event_count)
         select tenant_id, metric, period_start, period_end, 0, period_start, true, 10.5, total, 1
         from tenantry.usage_periods, (values ('minutes', 10.5), ('api_calls', 900)) as used (metric, total)
         where tenant_id = {t}",
    )
    .await;
    change("update tenantry.usage_counters set total = 10.6 where tenant_id = {t} and metric = 'minutes'").await;
    assert!(matches!(world.delete(user).await, Err(TenancyError::UnbilledUsage(metrics)) if metrics == ["minutes"]));
    change("update tenantry.usage_counters set closed = true where tenant_id = {t}").await;
    change(
        "update tenantry.usage_counters set total = 10.5, closed = false where tenant_id = {t} and metric = 'minutes'",
    )
    .await;
    let users = "select count(*) from tenantry.users where id = $1 and deleted_at is null and email is not null";
    assert_eq!(world.one::<i64>(users, user).await, 1);
    assert_eq!(world.everything().await.len(), before.len() + 2, "something was done");
    world.delete(user).await.unwrap();
}

/// A token may say any address. What it stands for is erased with nobody who only says so, nor with one of two.
#[tokio::test]
async fn an_address_that_is_not_known_to_be_the_users_takes_nothing_along() {
    let world = World::new().await;
    let owner = world.user().await;
    let acme = world.organization(owner).await;
    let billing_email = Some(Some("bea@example.com".to_owned()));
    let patch = TenantPatch { billing_email, ..TenantPatch::default() };
    organizations::patch(&world.db, &world.env, Actor::User(owner), acme.id, &patch).await.unwrap();
    let invited = NewInvitation {
        email: "bea@example.com".to_owned(),
        role: Role::Member,
        permissions: Overrides::default(),
        valid_for: SignedDuration::from_hours(1),
    };
    let token = MintedToken::new(&world.env, acme.id);
    let by = (Actor::User(owner), acme.id);
    invitations::create(&world.db, &world.env, by, &invited, &token, None).await.unwrap();
    let before = world.deeds(acme.id).await;
    let sign_in = async |user: Uuid, is_verified: bool| {
        let email = Some("Bea@example.com");
        users::ensure_signed_in(&world.db, &world.env, user, email, is_verified).await.unwrap();
    };
    // One who only says so, as a stranger and as a member; then one who is vouched for, beside another who is.
    let (mallory, member, bea, twin) = (world.id(), world.id(), world.id(), world.id());
    for user in [mallory, member] {
        sign_in(user, false).await;
    }
    world.add(owner, acme.id, member).await.unwrap();
    for user in [bea, twin] {
        sign_in(user, true).await;
    }
    for user in [mallory, member, twin] {
        world.delete(user).await.unwrap();
    }
    assert_eq!(world.deeds(acme.id).await[..before.len()], before);
    let Verdict::Intact { blanked, .. } = world.chain(acme.id).await else { panic!("the chain is broken") };
    assert_eq!(blanked, 1, "the entry about the member");
    let pending = "select email || ' ' || state from tenantry.invitations where tenant_id = $1";
    assert_eq!(world.one::<String>(pending, acme.id).await, "bea@example.com pending");
    // Nobody else has it now.
    world.delete(bea).await.unwrap();
    assert_eq!(world.one::<String>(pending, acme.id).await, "erased revoked");
}

#[tokio::test]
async fn nobody_keeps_an_account_by_taking_the_slug_that_its_deletion_wants() {
    let world = World::new().await;
    let (user, other) = (world.user().await, world.user().await);
    let slug = Some(format!("deleted-{}", user.simple()));
    let new = NewOrganization { name: "X".to_owned(), slug, ..NewOrganization::default() };
    organizations::create(&world.db, &world.env, Actor::User(other), &new, None).await.unwrap();
    world.delete(user).await.unwrap();
}
