//! Tenantry, the billing backend for multi-tenant SaaS.
