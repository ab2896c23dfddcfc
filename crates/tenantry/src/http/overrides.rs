//! Permission overrides as they are sent: read strictly, whatever is in them.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tenantry_domain::permission::{Overrides, Permission};
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::words::OverridesObject;

/// Bytes that overrides may have: five names and booleans need far less.
const MOST_BYTES: usize = 1024;

/// Permission names to booleans; unknown names, other values and names given twice are refused.
#[derive(Debug, ToSchema)]
#[schema(value_type = OverridesObject, example = json!({ "manageMembers": true }))]
pub struct PermissionOverrides(Box<RawValue>);

impl<'de> Deserialize<'de> for PermissionOverrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

impl PermissionOverrides {
    /// The overrides, or the refusal that names each key at fault.
    pub fn read(self) -> Result<Overrides, Problem> {
        let text = self.0.get();
        if text.len() > MOST_BYTES {
            return Err(Problem::invalid("permissions", format!("must have at most {MOST_BYTES} bytes")));
        }
        let members: Map<String, Value> = serde_json::from_str(text)
            .map_err(|_| Problem::invalid("permissions", "must be an object of permission names to true or false"))?;
        let mut problem = Problem::new(Code::ValidationFailed);
        let mut read = Vec::new();
        for (name, value) in &members {
            let field = format!("permissions.{name}");
            match (name.parse::<Permission>(), value.as_bool()) {
                (Ok(permission), Some(allowed)) => read.push((permission, allowed)),
                (Ok(_), None) => problem = problem.field(field, "must be true or false"),
                (Err(error), _) => problem = problem.field(field, error.to_string()),
            }
            // A map keeps one of two equal names; each must stand in the text once.
            if text.matches(&format!("\"{name}\"")).count() > 1 {
                problem = problem.field(format!("permissions.{name}"), "is given twice");
            }
        }
        if problem.errors().is_empty() { Ok(read.into_iter().collect()) } else { Err(problem) }
    }
}
