-- Whose address it is: a token may say any, and what an address stands for is erased only with who is known to have it.

alter table tenantry.users add column email_verified boolean not null default false;
comment on column tenantry.users.email_verified is
    'Somebody who is trusted with it (the issuer, the host application, the command line) says that the address is the user''s.';
grant update (email_verified) on tenantry.users to tenantry_service;
