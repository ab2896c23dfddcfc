use proptest::prelude::*;
use tenantry_domain::permission::{
    Action, GrantRefusal, Overrides, OverridesError, Permission, PermissionSet, Role, effective, may_assign,
};

/// The table as the product promises it; a change here is a change of contract.
const TABLE: &str = "              owner admin billing_admin member
manageBilling   yes   yes           yes     no
viewBilling     yes   yes           yes    yes
manageMembers   yes   yes            no     no
viewUsage       yes   yes           yes    yes
recordUsage     yes   yes           yes    yes
TransferTenant  yes    no            no     no
DeleteTenant    yes    no            no     no
";

#[test]
fn each_role_may_do_what_the_table_says() {
    let word = |allowed: bool| if allowed { "yes" } else { "no" };
    let row = |name: String, allows: &dyn Fn(Role) -> bool| {
        let [owner, admin, billing, member] = Role::ALL.map(|role| word(allows(role)));
        format!("{name:<14} {owner:>4} {admin:>5} {billing:>13} {member:>6}\n")
    };
    let mut table = "              owner admin billing_admin member\n".to_owned();
    for permission in Permission::ALL {
        table += &row(permission.to_string(), &|role| effective(role, &Overrides::default()).contains(permission));
    }
    for action in [Action::TransferTenant, Action::DeleteTenant] {
        table += &row(format!("{action:?}"), &|role| role.allows(action));
    }
    assert_eq!(table, TABLE);
}

#[test]
fn words_are_the_same_in_json_text_and_back() {
    for permission in Permission::ALL {
        assert_eq!(serde_json::to_string(&permission).unwrap(), format!("\"{permission}\""));
        assert_eq!(permission.as_str().parse::<Permission>().unwrap(), permission);
    }
    for role in Role::ALL {
        assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
    }
    assert!("Owner".parse::<Role>().is_err());
    assert!("managebilling".parse::<Permission>().is_err());
}

fn refused(text: &str) -> String {
    Overrides::parse(text).unwrap_err().to_string()
}

#[test]
fn overrides_are_read_strictly_and_errors_name_the_key() {
    let read = Overrides::parse(r#"{"manageBilling": true, "viewUsage": false}"#).unwrap();
    assert_eq!(read.get(Permission::ManageBilling), Some(true));
    assert_eq!(read.get(Permission::ViewUsage), Some(false));
    assert_eq!(read.get(Permission::RecordUsage), None);
    assert!(Overrides::parse("{}").unwrap().is_empty());
    for (text, named) in [
        (r#"{"everything": true}"#, "everything"),
        (r#"{"ManageBilling": true}"#, "ManageBilling"),
        (r#"{"viewUsage": "yes"}"#, "viewUsage must be true or false"),
        (r#"{"viewUsage": 1}"#, "viewUsage must be true or false"),
        (r#"{"viewUsage": null}"#, "viewUsage must be true or false"),
        (r#"{"viewUsage": {"a": 1}}"#, "viewUsage must be true or false"),
        (r#"{"viewUsage": false, "viewUsage": true}"#, "viewUsage stands twice"),
        (r#"{"viewUsage": true, "view\u0055sage": true}"#, "viewUsage stands twice"),
        (r#"["viewUsage"]"#, "an object of permission to boolean"),
        ("null", "an object of permission to boolean"),
        (r#"{"viewUsage": true} {}"#, "trailing characters"),
        ("", "EOF"),
    ] {
        let message = refused(text);
        assert!(message.contains(named), "{text}: {message}");
    }
    let long = format!("{{\"{}\": true}}", "x".repeat(900));
    assert!(refused(&long).len() < 300, "the error does not repeat a long key");
    let oversize = " ".repeat(1_000_000);
    assert_eq!(Overrides::parse(&oversize), Err(OverridesError::TooLong(1_000_000)));
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(Role::ALL.to_vec())
}

fn overrides() -> impl Strategy<Value = Overrides> {
    prop::collection::vec((prop::sample::select(Permission::ALL.to_vec()), any::<bool>()), 0..6)
        .prop_map(|pairs| pairs.into_iter().collect())
}

#[test]
fn only_an_owner_makes_an_owner_and_owners_are_not_narrowed() {
    let none = Overrides::default();
    for granter in [Role::Admin, Role::BillingAdmin, Role::Member] {
        assert_eq!(may_assign(granter, PermissionSet::ALL, Role::Owner, &none), Err(GrantRefusal::OwnerOnly));
    }
    assert_eq!(may_assign(Role::Owner, PermissionSet::ALL, Role::Owner, &none), Ok(()));
    let narrowed = Overrides::parse(r#"{"viewUsage": false}"#).unwrap();
    assert_eq!(may_assign(Role::Owner, PermissionSet::ALL, Role::Owner, &narrowed), Err(GrantRefusal::OwnerNarrowed));
    assert_eq!(effective(Role::Owner, &narrowed), PermissionSet::ALL);
}

#[test]
fn a_role_is_not_given_by_who_lacks_something_of_its_row_even_when_an_override_takes_it_away() {
    let without_billing = Overrides::parse(r#"{"manageBilling": false}"#).unwrap();
    let narrowed_admin = effective(Role::Admin, &without_billing);
    let refused = Err(GrantRefusal::Lacking(Permission::ManageBilling));
    assert_eq!(may_assign(Role::Admin, narrowed_admin, Role::Admin, &without_billing), refused);
    assert_eq!(may_assign(Role::Admin, narrowed_admin, Role::BillingAdmin, &Overrides::default()), refused);
    assert_eq!(may_assign(Role::Admin, narrowed_admin, Role::Member, &Overrides::default()), Ok(()));
    let back = Overrides::parse(r#"{"manageBilling": true}"#).unwrap();
    assert_eq!(may_assign(Role::Admin, narrowed_admin, Role::Member, &back), refused);
}

proptest! {
    #[test]
    fn an_assignment_never_gives_more_than_the_granter_has(
        (granter, own) in (role(), overrides()), (target, given) in (role(), overrides()),
    ) {
        let has = effective(granter, &own);
        match may_assign(granter, has, target, &given) {
            Ok(()) => {
                prop_assert!(effective(target, &given).is_subset_of(has));
                prop_assert!(target.permissions().is_subset_of(has));
                prop_assert!(target != Role::Owner || granter == Role::Owner);
            }
            Err(GrantRefusal::Lacking(lacking)) => prop_assert!(!has.contains(lacking)),
            Err(GrantRefusal::OwnerOnly) => prop_assert!(target == Role::Owner && granter != Role::Owner),
            Err(GrantRefusal::OwnerNarrowed) => prop_assert!(target == Role::Owner && !given.is_empty()),
        }
    }

    #[test]
    fn assigning_again_and_again_never_climbs(steps in prop::collection::vec((role(), overrides()), 1..8), own in overrides()) {
        let first = effective(Role::Admin, &own);
        let (mut granter, mut has) = (Role::Admin, first);
        for (target, given) in steps {
            if may_assign(granter, has, target, &given).is_ok() {
                (granter, has) = (target, effective(target, &given));
                prop_assert!(has.is_subset_of(first) && granter != Role::Owner);
            }
        }
    }

    #[test]
    fn each_permission_is_what_the_override_says_else_what_the_row_says(role in role(), overrides in overrides()) {
        let set = effective(role, &overrides);
        for permission in Permission::ALL {
            let row = role.permissions().contains(permission);
            let expected = role == Role::Owner || overrides.get(permission).unwrap_or(row);
            prop_assert_eq!(set.contains(permission), expected);
        }
        prop_assert_eq!(set.iter().collect::<PermissionSet>(), set);
    }

    #[test]
    fn overrides_are_read_back_from_what_is_written(overrides in overrides()) {
        prop_assert_eq!(Overrides::parse(&serde_json::to_string(&overrides).unwrap()).unwrap(), overrides);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[{}\":,a-zA-Z0-9 ]{0,60}") {
        let _ = Overrides::parse(&text);
    }
}
