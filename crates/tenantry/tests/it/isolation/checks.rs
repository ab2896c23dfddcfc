//! What must hold of the schema, as SQL over the catalogs. Each check returns what breaks it, one text a row.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// A sentence about the schema.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Follows [`COMMON`].
    sql: &'static str,
}

/// The serving roles, and the tables with the column that says whose a row is.
const COMMON: &str = "
with roles as (
    select oid, rolname from pg_catalog.pg_roles where rolname in ('tenantry_user', 'tenantry_service')
), tables as (
    select c.oid, c.relname, c.relkind, c.relispartition, c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.relowner,
           a.attnum as tenant_column, a.attnotnull
    from pg_class c
    left join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
        and a.attname = case when c.relname = 'tenants' then 'id' else 'tenant_id' end
    where c.relnamespace = 'tenantry'::regnamespace and c.relkind in ('r', 'p')
), policies as (
    select p.polname, p.polcmd, p.polpermissive, p.polroles, t.relname, t.oid as relid, t.tenant_column,
           regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\\s+', ' ', 'g') as reads,
           regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), '\\s+', ' ', 'g') as writes
    from pg_policy p join tables t on t.oid = p.polrelid
)
";

macro_rules! checks {
    ($($name:ident: $sql:literal;)+) => {
        pub(super) const CHECKS: &[Check] = &[$(Check { name: stringify!($name), sql: $sql }),+];
    };
}

checks! {
    row_security_is_enabled_and_forced: "
        select relname::text from tables where not (relrowsecurity and relforcerowsecurity)";

    tables_name_their_tenant: "
        select relname::text from tables where tenant_column is null";

    tenant_column_is_not_null: "
        select relname::text from tables where tenant_column is not null and not attnotnull";

    an_index_leads_with_the_tenant: "
        select relname::text from tables
        where tenant_column is not null and not exists (
            select from pg_index i
            where i.indrelid = tables.oid and i.indisvalid and i.indpred is null and i.indkey[0] = tenant_column)";

    unique_indexes_contain_the_tenant: "
        select i.indexrelid::regclass::text from pg_index i join tables on tables.oid = i.indrelid
        where i.indisunique and tenant_column is not null and not tenant_column = any (i.indkey::int2[])";

    foreign_keys_contain_the_tenant: "
        select format('%s.%s', f.relname, k.conname)
        from pg_constraint k join tables f on f.oid = k.conrelid join tables t on t.oid = k.confrelid
        where k.contype = 'f' and t.tenant_column is not null
          and not exists (
            select from unnest(k.conkey, k.confkey) as pair(here, there)
            where pair.here = f.tenant_column and pair.there = t.tenant_column)";

    nothing_cascades: "
        select format('%s.%s', f.relname, k.conname)
        from pg_constraint k join tables f on f.oid = k.conrelid
        where k.contype = 'f' and (k.confdeltype not in ('a', 'r') or k.confupdtype not in ('a', 'r'))";

    usage_can_be_distributed: "
        select format('%s.%s leaves the family', f.relname, k.conname)
        from pg_constraint k join tables f on f.oid = k.conrelid join tables t on t.oid = k.confrelid
        where k.contype = 'f'
          and (f.relname ~ '^(usage_|tenant_usage|overage_)') <> (t.relname ~ '^(usage_|tenant_usage|overage_)')
        union all
        select format('%s has the trigger %s', relname, tgname)
        from pg_trigger join tables on tables.oid = tgrelid
        where not tgisinternal and relname ~ '^(usage_|tenant_usage|overage_)'";

    granted_commands_have_a_policy: "
        select format('%s may %s %s', rolname, command, relname)
        from tables cross join roles
            cross join (values ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) as c (command, code)
        where not relispartition
          and case command when 'DELETE' then has_table_privilege(roles.oid, tables.oid, command)
                           else has_any_column_privilege(roles.oid, tables.oid, command) end
          and not exists (
            select from policies p
            where p.relid = tables.oid and p.polpermissive and p.polcmd in (code::\"char\", '*')
              and roles.oid = any (p.polroles))";

    readers_are_narrowed_to_the_active_tenant: "
        select relname::text from tables
        where not relispartition and tenant_column is not null
          and has_any_column_privilege('tenantry_user', tables.oid, 'SELECT')
          and not exists (
            select from policies p
            where p.relid = tables.oid and not p.polpermissive and p.polcmd in ('r', '*')
              and 'tenantry_user'::regrole = any (p.polroles) and p.reads ~ 'app\\.tenant_id')";

    no_policy_is_for_everybody: "
        select format('%s.%s', relname, polname) from policies where 0 = any (polroles)";

    no_policy_is_always_true: "
        select format('%s.%s', relname, polname) from policies where 'true' in (reads, writes)";

    policies_of_tenant_tables_are_the_known_ones: "
        select format('%s.%s: %s', relname, polname, expression)
        from policies cross join lateral (values (reads), (writes)) as e (expression)
        where tenant_column is not null and expression <> 'true'
          and not (replace(expression, 'tenant_id', 'id'), polpermissive) in (
            ('(id = ANY (ARRAY( SELECT tenantry.visible_tenants() AS visible_tenants)))', true),
            ('((NULLIF(current_setting(''app.id''::text, true), ''''::text) IS NULL) OR (id = (NULLIF(current_setting(''app.id''::text, true), ''''::text))::uuid))', false),
            ('((( SELECT NULLIF(current_setting(''app.id''::text, true), ''''::text) AS \"nullif\") IS NULL) OR (id = ( SELECT (NULLIF(current_setting(''app.id''::text, true), ''''::text))::uuid AS \"nullif\")))', false),
            ('(id IN ( SELECT unnest((string_to_array(NULLIF(current_setting(''app.tenants''::text, true), ''''::text), '',''::text))::uuid[]) AS unnest))', true),
            ('(payload IS NOT NULL)', false),
            ('((payload IS NULL) AND (payload_salt IS NULL))', false))
          and not (relname, expression, polcmd, polpermissive) in (
            ('teams', '(id = ANY (ARRAY( SELECT tenantry.visible_teams() AS visible_teams)))', 'r', true),
            ('team_members', '(team_id = ANY (ARRAY( SELECT tenantry.visible_teams() AS visible_teams)))', 'r', true),
            ('tenant_subscriptions', '((ended_at IS NULL) AND (tenant_id = ANY (ARRAY( SELECT tenantry.shared_tenants() AS shared_tenants))))', 'r', true))";

    logs_are_only_added_to: "
        select format('%s may change %s.%s', rolname, relname, attname)
        from tables cross join roles join pg_attribute a on a.attrelid = tables.oid
        where relname in ('billing_events', 'security_events') and a.attnum > 0 and not a.attisdropped
          and not (relname = 'billing_events' and attname in ('payload', 'payload_salt'))
          and has_column_privilege(roles.oid, tables.oid, a.attnum, 'UPDATE')
        union all
        select format('%s may delete from %s', rolname, relname)
        from tables cross join roles
        where relname in ('billing_events', 'security_events') and has_table_privilege(roles.oid, tables.oid, 'DELETE')";

    payloads_are_only_blanked: "
        select relname::text from tables
        where relname = 'billing_events' and not exists (
            select from policies p
            where p.relid = tables.oid and not p.polpermissive and p.polcmd = 'w'
              and 'tenantry_service'::regrole = any (p.polroles)
              and p.writes = '((payload IS NULL) AND (payload_salt IS NULL))')";

    deleted_users_stay_deleted: "
        select relname::text from tables
        where relname = 'users' and not exists (
            select from policies p
            where p.relid = tables.oid and not p.polpermissive and p.polcmd = 'w'
              and 'tenantry_service'::regrole = any (p.polroles) and p.reads = '(deleted_at IS NULL)')";

    rows_do_not_move_between_tenants: "
        select format('%s may update %s.%s', rolname, relname, attname)
        from tables cross join roles join pg_attribute a on a.attrelid = tables.oid
        where a.attnum > 0 and not a.attisdropped
          and has_column_privilege(roles.oid, tables.oid, a.attnum, 'UPDATE')
          and (a.attnum = tenant_column
               or exists (select from pg_index i
                          where i.indrelid = tables.oid and i.indisprimary
                            and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])))";

    readers_only_read: "
        select format('tenantry_user may %s %s', command, relname)
        from tables cross join (values ('INSERT'), ('UPDATE'), ('DELETE')) as c (command)
        where case command when 'DELETE' then has_table_privilege('tenantry_user', tables.oid, command)
                           else has_any_column_privilege('tenantry_user', tables.oid, command) end";

    readers_see_no_secrets: "
        select format('%s.%s', relname, attname)
        from tables join pg_attribute a on a.attrelid = tables.oid
        where a.attnum > 0 and not a.attisdropped and not relispartition
          and attname ~ '(hash|secret|salt|token|password|stripe)'
          and has_column_privilege('tenantry_user', tables.oid, a.attnum, 'SELECT')";

    the_membership_helper_reads_little: "
        select format('%s.%s', relname, attname)
        from tables join pg_attribute a on a.attrelid = tables.oid
        where a.attnum > 0 and not a.attisdropped
          and has_column_privilege('tenantry_authz', tables.oid, a.attnum, 'SELECT')
        union all
        select format('tenantry_authz may %s %s', command, relname)
        from tables cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as c (command)
        where has_table_privilege('tenantry_authz', tables.oid, command)";

    nobody_truncates_or_refers: "
        select format('%s may %s %s', rolname, command, relname)
        from tables cross join roles cross join (values ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) as c (command)
        where has_table_privilege(roles.oid, tables.oid, command)
           or (command = 'REFERENCES' and has_any_column_privilege(roles.oid, tables.oid, command))";

    partitions_are_granted_to_nobody: "
        select format('%s to %s', relname, acl.grantee::regrole)
        from tables cross join lateral (
            select (aclexplode(relacl)).grantee
            union all
            select (aclexplode(attacl)).grantee from pg_attribute where attrelid = tables.oid
        ) as acl
        where relispartition and acl.grantee <> relowner";

    nothing_is_granted_to_everybody: "
        select format('relation %s', c.oid::regclass)
        from pg_class c cross join lateral (
            select (aclexplode(c.relacl)).grantee
            union all
            select (aclexplode(attacl)).grantee from pg_attribute where attrelid = c.oid
        ) as acl
        where c.relnamespace in ('tenantry'::regnamespace, 'tenantry_meta'::regnamespace) and acl.grantee = 0
        union all
        select format('schema %s', nspname) from pg_namespace cross join lateral aclexplode(nspacl) as acl
        where nspname ~ '^tenantry' and acl.grantee = 0
        union all
        select format('function %s', p.oid::regprocedure) from pg_proc p
        where pronamespace = 'tenantry'::regnamespace
          and (proacl is null or exists (select from aclexplode(proacl) as acl where acl.grantee = 0))
        union all
        select format('default privileges of %s', defaclrole::regrole)
        from pg_default_acl cross join lateral aclexplode(defaclacl) as acl where acl.grantee = 0";

    sequences_are_granted_to_nobody: "
        select format('%s to %s', c.oid::regclass, rolname)
        from pg_class c cross join roles
        where c.relkind = 'S' and c.relnamespace = 'tenantry'::regnamespace
          and has_sequence_privilege(roles.oid, c.oid, 'USAGE, SELECT, UPDATE')";

    other_schemas_are_closed: "
        select format('%s may %s %s', rolname, command, c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join roles
            cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as k (command)
        where n.nspname not in ('tenantry', 'pg_catalog', 'information_schema') and n.nspname !~ '^pg_'
          and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and has_schema_privilege(roles.oid, n.oid, 'USAGE')
          and case when command in ('DELETE', 'TRUNCATE') then has_table_privilege(roles.oid, c.oid, command)
                   else has_any_column_privilege(roles.oid, c.oid, command) end";

    definer_functions_are_listed: "
        select proname::text from pg_proc where pronamespace = 'tenantry'::regnamespace and prosecdef";

    definer_functions_belong_to_no_superuser: "
        select proname::text from pg_proc join pg_roles r on r.oid = proowner
        where pronamespace = 'tenantry'::regnamespace and prosecdef and (r.rolsuper or r.rolbypassrls)";

    functions_pin_their_search_path: "
        select proname::text from pg_proc
        where pronamespace = 'tenantry'::regnamespace
          and not 'search_path=pg_catalog, pg_temp' = any (coalesce(proconfig, '{}'))";

    views_run_as_their_caller: "
        select relname::text from pg_class
        where relkind = 'v' and relnamespace = 'tenantry'::regnamespace
          and not coalesce(reloptions, '{}') && array['security_invoker=true', 'security_invoker=on']";

    views_belong_to_the_owner: "
        select relname::text from pg_class
        where relkind = 'v' and relnamespace = 'tenantry'::regnamespace and relowner <> 'tenantry_owner'::regrole";

    views_are_only_read: "
        select format('%s may %s %s', rolname, command, relname)
        from pg_class c cross join roles
            cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as k (command)
        where relkind = 'v' and relnamespace = 'tenantry'::regnamespace
          and (rolname, command) <> ('tenantry_user', 'SELECT')
          and case when command in ('DELETE', 'TRUNCATE') then has_table_privilege(roles.oid, c.oid, command)
                   else has_any_column_privilege(roles.oid, c.oid, command) end";

    views_show_only_what_readers_may_read: "
        select distinct format('%s reads %s.%s', v.relname, t.relname, a.attname)
        from pg_class v
        join pg_rewrite r on r.ev_class = v.oid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
        join pg_class t on t.oid = d.refobjid
        join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
        where v.relkind = 'v' and v.relnamespace = 'tenantry'::regnamespace and t.oid <> v.oid
          and not has_column_privilege('tenantry_user', t.oid, a.attnum, 'SELECT')";

    nothing_readable_is_without_row_security: "
        select format('%s may read %s', rolname, c.oid::regclass)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join roles
        where c.relkind in ('m', 'f') and n.nspname !~ '^pg_'
          and has_any_column_privilege(roles.oid, c.oid, 'SELECT')";

    roles_have_no_powers: "
        select format('%s %s', rolname, power)
        from pg_roles cross join lateral (values
            (rolsuper, 'is a superuser'), (rolbypassrls, 'bypasses row security'), (rolcreaterole, 'makes roles'),
            (rolcreatedb, 'makes databases'), (rolreplication, 'replicates'),
            (rolcanlogin and rolname in ('tenantry_owner', 'tenantry_authz'), 'may log in')) as p (has, power)
        where has and rolname in ('tenantry_user', 'tenantry_service', 'tenantry_owner', 'tenantry_authz')";

    serving_roles_are_in_no_role: "
        select format('%s is in %s', rolname, m.roleid::regrole)
        from pg_auth_members m join roles on roles.oid = m.member";

    serving_roles_own_nothing: "
        select format('%s owns something in %s', rolname, d.classid::regclass)
        from pg_shdepend d join roles on roles.oid = d.refobjid
        where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
          and d.dbid in (0, (select oid from pg_database where datname = current_database()))";

    serving_roles_create_nothing: "
        select format('%s may create in the schema %s', rolname, nspname)
        from pg_namespace n cross join roles where has_schema_privilege(roles.oid, n.oid, 'CREATE')
        union all
        select format('%s may create schemas', rolname) from roles
        where has_database_privilege(roles.oid, current_database(), 'CREATE')
        union all
        select format('%s may make temporary tables', rolname) from roles
        where has_database_privilege(roles.oid, current_database(), 'TEMPORARY')";
}

/// What breaks each check that something breaks.
pub(super) async fn violations(client: &Client) -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::new();
    for check in CHECKS {
        let sql = format!("{COMMON}{} order by 1", check.sql);
        let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{}: {error:?}", check.name));
        let texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if !texts.is_empty() {
            found.insert(check.name, texts);
        }
    }
    found
}
