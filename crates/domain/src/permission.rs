//! Who may do what in a tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A role of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, ownership and deletion too.
    Owner,
    /// Everything but ownership and deletion.
    Admin,
    /// Billing, not members.
    BillingAdmin,
    /// Sees and uses.
    Member,
}

/// The permissions that roles give and overrides change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Plans, payment, keys.
    ManageBilling,
    /// Plan, status, invoices.
    ViewBilling,
    /// Members and the tenant's name.
    ManageMembers,
    /// Totals and reports.
    ViewUsage,
    /// Recording usage.
    RecordUsage,
}

/// What only owners do; no override gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Handing the tenant over.
    TransferTenant,
    /// Deleting the tenant.
    DeleteTenant,
    /// Taking along everything that the tenant has.
    ExportTenant,
}

impl Role {
    /// All roles, highest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::BillingAdmin, Self::Member];

    /// As stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::BillingAdmin => "billing_admin",
            Self::Member => "member",
        }
    }

    /// The role's row of the permission table.
    pub fn permissions(self) -> PermissionSet {
        use Permission::{ManageBilling, RecordUsage, ViewBilling, ViewUsage};
        match self {
            Self::Owner | Self::Admin => PermissionSet::ALL,
            Self::BillingAdmin => [ManageBilling, ViewBilling, ViewUsage, RecordUsage].into_iter().collect(),
            Self::Member => [ViewBilling, ViewUsage, RecordUsage].into_iter().collect(),
        }
    }

    /// Whether the role alone allows what no override gives.
    pub fn allows(self, action: Action) -> bool {
        match action {
            Action::TransferTenant | Action::DeleteTenant | Action::ExportTenant => self == Self::Owner,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role or permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is none of {expected}")]
pub struct UnknownWord {
    found: String,
    expected: &'static str,
}

impl FromStr for Role {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownWord { found: text.to_owned(), expected: "owner, admin, billing_admin, member" })
    }
}

impl Permission {
    /// All permissions, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::ManageBilling, Self::ViewBilling, Self::ManageMembers, Self::ViewUsage, Self::RecordUsage];

    const WORDS: &str = "manageBilling, viewBilling, manageMembers, viewUsage, recordUsage";

    /// As sent and as scope of a key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ManageBilling => "manageBilling",
            Self::ViewBilling => "viewBilling",
            Self::ManageMembers => "manageMembers",
            Self::ViewUsage => "viewUsage",
            Self::RecordUsage => "recordUsage",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == text)
            .ok_or_else(|| UnknownWord { found: text.to_owned(), expected: Self::WORDS })
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u8);

impl PermissionSet {
    /// Every permission.
    pub const ALL: Self = Self(0b1_1111);
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether the permission is in it.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether everything of it is in the other.
    pub fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The permissions in it, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(iter: I) -> Self {
        Self(iter.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

/// What overrides a role's row: permission to boolean. Read strictly: a key that is no permission, stands twice or
/// has no boolean is an error that names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Overrides(BTreeMap<Permission, bool>);

/// Bytes that the JSON text of overrides may have; all five permissions need about a hundred.
pub const OVERRIDES_LENGTH: usize = 1024;

/// Why a text is no overrides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverridesError {
    /// Too long.
    #[error("permissions may have at most {OVERRIDES_LENGTH} bytes, these have {0}")]
    TooLong(usize),
    /// Not an object of permission to boolean; says which key.
    #[error("permissions: {0}")]
    Malformed(String),
}

impl Overrides {
    /// Reads a JSON object from its text.
    pub fn parse(text: &str) -> Result<Self, OverridesError> {
        if text.len() > OVERRIDES_LENGTH {
            return Err(OverridesError::TooLong(text.len()));
        }
        serde_json::from_str(text).map_err(|error| OverridesError::Malformed(error.to_string()))
    }

    /// What is said of a permission; none where the role's row holds.
    pub fn get(&self, permission: Permission) -> Option<bool> {
        self.0.get(&permission).copied()
    }

    /// Whether nothing is overridden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each override.
    pub fn iter(&self) -> impl Iterator<Item = (Permission, bool)> {
        self.0.iter().map(|(permission, allowed)| (*permission, *allowed))
    }
}

/// The longest part of a foreign key that an error repeats, in characters.
const KEY_SHOWN: usize = 40;

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Overrides;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of permission to boolean")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Overrides, A::Error> {
                let mut overrides = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let permission: Permission = key.parse().map_err(|_| {
                        let shown: String = key.chars().take(KEY_SHOWN).collect();
                        A::Error::custom(UnknownWord { found: shown, expected: Permission::WORDS })
                    })?;
                    let allowed = map.next_value::<bool>().map_err(|error| {
                        A::Error::custom(format_args!("{permission} must be true or false: {error}"))
                    })?;
                    if overrides.insert(permission, allowed).is_some() {
                        return Err(A::Error::custom(format_args!("{permission} stands twice")));
                    }
                }
                Ok(Overrides(overrides))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl FromIterator<(Permission, bool)> for Overrides {
    fn from_iter<I: IntoIterator<Item = (Permission, bool)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// What a member may do: the role's row with its overrides. Owners cannot be narrowed, and the user of a personal
/// tenant is its owner, so may do everything there.
pub fn effective(role: Role, overrides: &Overrides) -> PermissionSet {
    if role == Role::Owner {
        return PermissionSet::ALL;
    }
    let mut set = role.permissions();
    for (permission, allowed) in overrides.iter() {
        set.0 = if allowed { set.0 | permission.bit() } else { set.0 & !permission.bit() };
    }
    set
}

/// Why a role or overrides may not be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// Only an owner makes an owner.
    #[error("only an owner makes an owner")]
    OwnerOnly,
    /// Nobody grants what they lack.
    #[error("you lack {0}, so you cannot grant it")]
    Lacking(Permission),
    /// Owners cannot be narrowed.
    #[error("an owner has every permission; overrides do not apply")]
    OwnerNarrowed,
}

/// Whether a granter may give a role with these overrides: nobody grants what they lack, neither by the role's row
/// (an override that takes it away again does not help, since it can be lifted) nor by an override; only an owner
/// makes an owner; owners cannot be narrowed.
pub fn may_assign(
    granter: Role,
    granter_has: PermissionSet,
    role: Role,
    overrides: &Overrides,
) -> Result<(), GrantRefusal> {
    if role == Role::Owner {
        if granter != Role::Owner {
            return Err(GrantRefusal::OwnerOnly);
        }
        return if overrides.is_empty() { Ok(()) } else { Err(GrantRefusal::OwnerNarrowed) };
    }
    let given = PermissionSet(role.permissions().0 | effective(role, overrides).0);
    match given.iter().find(|permission| !granter_has.contains(*permission)) {
        Some(lacking) => Err(GrantRefusal::Lacking(lacking)),
        None => Ok(()),
    }
}
