-- Claims that are no JSON belong to nobody: 0 rows, as a missing user, and no error.
--
-- PostgreSQL 15 cannot ask whether a text is JSON, and a block that catches the cast's error begins a
-- subtransaction, which no parallel query may do. So the text is looked at first: strings, numbers and words
-- become the shortest of their kind, then innermost lists and objects become values until one value is left.
-- What passes can be cast. Deeper than 64 levels is nobody, too.

create function tenantry.subject_of_claims(claims text) returns text
    language plpgsql immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- Not the escapes that no text can hold: NUL and halves of surrogate pairs.
    strings constant text := '"(?:[^"\\\u0001-\u001f]|\\["\\/bfnrt]'
        || '|\\u(?:[1-9a-cA-CefEF][0-9a-fA-F]{3}|0[1-9a-fA-F][0-9a-fA-F]{2}|00[1-9a-fA-F][0-9a-fA-F]|000[1-9a-fA-F]'
        || '|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*"';
    scalars constant text := '-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null';
    innermost constant text := '\[(?:(?:""|0)(?:,(?:""|0))*)?\]|\{(?:"":(?:""|0)(?:,"":(?:""|0))*)?\}';
    rest text;
begin
    if claims !~ '^[ \t\n\r]*\{' then
        return null;
    end if;
    rest := regexp_replace(regexp_replace(claims, strings, '""', 'g'), scalars, '0', 'g');
    rest := regexp_replace(rest, '[ \t\n\r]+', '', 'g');
    for pass in 1..64 loop
        exit when rest !~ '[][{}]';
        rest := regexp_replace(rest, innermost, '0', 'g');
    end loop;
    if rest = '0' then
        return claims::json ->> 'sub';
    end if;
    return null;
end
$$;
revoke all on function tenantry.subject_of_claims(text) from public;
grant execute on function tenantry.subject_of_claims(text) to tenantry_authz, tenantry_user, tenantry_service;
comment on function tenantry.subject_of_claims(text) is 'The member sub of a JSON object; null of anything else.';

create or replace function tenantry.current_user_id() returns uuid
    language sql stable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    select case when claimed ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then claimed::uuid end
    from (
        select coalesce(
            nullif(current_setting('app.user_id', true), ''),
            tenantry.subject_of_claims(nullif(current_setting('request.jwt.claims', true), ''))
        ) as claimed
    ) as caller
$$;
