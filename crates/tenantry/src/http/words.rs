//! Words of the contract as schemas: what the domain reads from text, told to generated clients as closed lists.

use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use crate::notices::kind::Kind;

/// A role in a tenant.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum RoleName {
    /// May do everything; a tenant keeps at least one.
    Owner,
    /// May do everything but transfer or delete the tenant.
    Admin,
    /// Manages billing, not members.
    BillingAdmin,
    /// Sees billing and usage, records usage.
    Member,
}

/// A permission, as scopes and overrides name it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum PermissionName {
    /// Change plan and payment, make keys.
    ManageBilling,
    /// See plan, invoices and audit trail.
    ViewBilling,
    /// Add, change and remove members.
    ManageMembers,
    /// See what was used.
    ViewUsage,
    /// Record what was used.
    RecordUsage,
}

/// Permissions that a member has, or lacks, whatever the role says.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "a map of five names to booleans")]
pub struct OverridesObject {
    /// Whether the member may change plan and payment, and make keys.
    #[schema(required = false, nullable = false)]
    pub manage_billing: bool,
    /// Whether the member sees plan, invoices and audit trail.
    #[schema(required = false, nullable = false)]
    pub view_billing: bool,
    /// Whether the member adds, changes and removes members.
    #[schema(required = false, nullable = false)]
    pub manage_members: bool,
    /// Whether the member sees what was used.
    #[schema(required = false, nullable = false)]
    pub view_usage: bool,
    /// Whether the member records what was used.
    #[schema(required = false, nullable = false)]
    pub record_usage: bool,
}

/// What a webhook tells of.
pub struct EventType;

impl utoipa::PartialSchema for EventType {
    fn schema() -> RefOr<Schema> {
        let askable = Kind::ALL.iter().filter(|kind| **kind != Kind::Test).map(|kind| kind.event_type());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(askable)).build().into()
    }
}

impl ToSchema for EventType {}

/// An exact amount: a decimal in a string, or a JSON number that is read from its digits.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AmountValue {
    /// As text.
    Text(String),
    /// As a number.
    Number(f64),
}

#[cfg(test)]
mod tests {
    use tenantry_domain::permission::{Permission, Role};
    use utoipa::PartialSchema;

    use super::*;

    fn listed(schema: &impl serde::Serialize) -> Vec<String> {
        let schema = serde_json::to_value(schema).unwrap();
        schema["enum"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_lists_are_the_domains() {
        assert_eq!(listed(&RoleName::schema()), Role::ALL.map(|role| role.as_str().to_owned()));
        let permissions = Permission::ALL.map(|permission| permission.as_str().to_owned());
        assert_eq!(listed(&PermissionName::schema()), permissions);
        let overrides = serde_json::to_value(OverridesObject::schema()).unwrap();
        let mut names: Vec<&String> = overrides["properties"].as_object().unwrap().keys().collect();
        names.sort_by_key(|name| permissions.iter().position(|permission| permission == *name));
        assert_eq!(names, permissions.iter().collect::<Vec<_>>());
        assert_eq!(overrides["additionalProperties"], false);
        assert!(overrides.get("required").is_none());
    }
}
