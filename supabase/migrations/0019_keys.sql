-- API keys as their tenant's admins see and change them. Every change is audited.
create or replace function baton.key_json(k baton.api_keys) returns json language plpgsql volatile set search_path = '' as $$
begin
  return json_build_object('id', k.id, 'name', k.name, 'prefix', k.prefix, 'scopes', k.scopes, 'active', baton.key_live(k), 'expiresAt', k.expires_at,
    'revokedAt', k.revoked_at, 'lastUsedAt', k.last_used_at, 'createdBy', k.created_by, 'rotatedFrom', k.rotated_from, 'createdAt', k.created_at);
end $$;

drop function if exists baton.audit_key(jsonb, text, baton.api_keys);
create or replace function baton.audit_key(p jsonb, action text, k baton.api_keys, more jsonb default '{}') returns void language plpgsql set search_path = '' as $$
begin
  perform baton.audit_request(p, jsonb_build_object('action', action, 'decision', 'allowed', 'scope', 'key:' || k.id,
    'data', jsonb_strip_nulls(jsonb_build_object('name', k.name, 'scopes', k.scopes, 'expiresAt', k.expires_at, 'rotatedFrom', k.rotated_from) || more)));
end $$;

create or replace function baton.find_key(p jsonb) returns baton.api_keys language plpgsql volatile set search_path = '' as $$
declare
  k baton.api_keys;
begin
  select * into k from baton.api_keys x where x.id = p ->> 'key' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment' for update;
  return k;
end $$;

-- Refuses what may not be made; the tenant's row is locked, so that the count below holds.
create or replace function baton.new_key_refusal(p jsonb, scopes text[]) returns json language plpgsql set search_path = '' as $$
declare
  most constant integer := 100;
  excess text[];
begin
  perform from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment' for no key update;
  if not found then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  select array_agg(s) into excess from unnest(baton.rights_of(scopes)) s where not p -> 'rights' ? s;
  if excess is not null then
    perform baton.audit_request(p, jsonb_build_object('action', 'key.create', 'decision', 'refused', 'code', 'forbidden', 'reason', 'more rights than the caller has'));
    return baton.refuse('forbidden', jsonb_build_object('reason', 'more_rights_than_own', 'rights', to_jsonb(excess)));
  end if;
  if (select count(*) from baton.api_keys k where k.tenant_id = p ->> 'tenant' and baton.key_live(k)) >= most then
    perform baton.audit_request(p, jsonb_build_object('action', 'key.create', 'decision', 'refused', 'code', 'too_many_keys'));
    return baton.refuse('too_many_keys', jsonb_build_object('most', most));
  end if;
  return null;
end $$;

-- {id, hash, prefix, name, scopes, expiresAt?} A repeat under the same id answers as the first did.
create or replace function baton.create_key(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  k baton.api_keys;
  scopes text[] := array(select jsonb_array_elements_text(p -> 'scopes'));
  refusal json;
begin
  -- Looked at under the lock: a twin that is still in flight has committed by now, and its key is found.
  perform from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment' for no key update;
  select * into k from baton.api_keys x where x.id = p ->> 'id' and x.hash = p ->> 'hash';
  if found then return json_build_object('ok', true, 'key', baton.key_json(k)); end if;
  if (p ->> 'expiresAt')::timestamptz <= baton.clock() then return baton.refuse('conflict', '{"reason": "expired_already"}'); end if;
  refusal := baton.new_key_refusal(p, scopes);
  if refusal is not null then return refusal; end if;
  insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, expires_at, created_by)
  values (p ->> 'id', p ->> 'tenant', p ->> 'environment', p ->> 'hash', p ->> 'prefix', p ->> 'name', scopes, (p ->> 'expiresAt')::timestamptz, p ->> 'caller')
  returning * into k;
  perform baton.audit_key(p, 'key.create', k);
  return json_build_object('ok', true, 'key', baton.key_json(k));
end $$;

create or replace function baton.get_key(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
declare
  k baton.api_keys;
begin
  select * into k from baton.api_keys x where x.id = p ->> 'key' and x.tenant_id = p ->> 'tenant' and x.environment = p ->> 'environment';
  if not found then return baton.refuse('key_not_found'); end if;
  return json_build_object('ok', true, 'key', baton.key_json(k));
end $$;

create or replace function baton.list_keys(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
begin
  return (select json_build_object('ok', true, 'data', coalesce(json_agg(baton.key_json(x) order by x.id), '[]')) from (
    select k.* from baton.api_keys k where k.tenant_id = p ->> 'tenant' and k.environment = p ->> 'environment'
      and k.id > coalesce(p ->> 'after', '') order by k.id limit (p ->> 'limit')::integer) x);
end $$;

-- {key, name?, expiresAt?} Never its rights: that is another key.
create or replace function baton.patch_key(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  k baton.api_keys := baton.find_key(p);
begin
  if k.id is null then return baton.refuse('key_not_found'); end if;
  -- What is over stays over: a key that was given up is not brought back by a later date.
  if not baton.key_live(k) then return baton.refuse('conflict', '{"reason": "not_active"}'); end if;
  update baton.api_keys x set name = coalesce(p ->> 'name', x.name),
    expires_at = case when p ? 'expiresAt' then (p ->> 'expiresAt')::timestamptz else x.expires_at end
  where x.id = k.id returning * into k;
  perform baton.audit_key(p, 'key.update', k);
  return json_build_object('ok', true, 'key', baton.key_json(k));
end $$;

-- Bites at once: the next request of any process resolves the key anew and finds it revoked.
create or replace function baton.revoke_key(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  k baton.api_keys := baton.find_key(p);
begin
  if k.id is null then return baton.refuse('key_not_found'); end if;
  if k.revoked_at is null then
    update baton.api_keys x set revoked_at = baton.clock() where x.id = k.id returning * into k;
    perform baton.audit_key(p, 'key.revoke', k);
  end if;
  return json_build_object('ok', true, 'key', baton.key_json(k));
end $$;

-- What a key's counter has from the key before it, whose spending stands in the ledger under another name.
create table if not exists baton.budget_carried (
  key text primary key references baton.budget_counters on delete cascade,
  spent_micros bigint not null,
  tokens bigint not null,
  calls bigint not null
);

-- What stands against a key stands against its successor: switch, budgets with what is spent of them, limits. Answers which, for the audit.
create or replace function baton.inherit_key(old baton.api_keys, heir text) returns jsonb language plpgsql set search_path = '' as $$
declare
  was constant text := 'key:' || old.id;
  of_key text;
  c baton.budget_counters;
  told jsonb := jsonb_build_object(
    'switch', (select s.mode from baton.switches s where (s.environment, s.tenant_id, s.scope) = (old.environment, old.tenant_id, was)),
    'budgets', (select jsonb_agg(b.period order by b.period) from baton.budgets b where (b.environment, b.tenant_id, b.scope) = (old.environment, old.tenant_id, was)),
    'limits', (select l.settings from baton.limits l where (l.tenant_id, l.scope) = (old.tenant_id, was)));
begin
  insert into baton.switches (environment, tenant_id, scope, mode, reason, actor, created_at) select s.environment, s.tenant_id, heir, s.mode, s.reason, s.actor, s.created_at
  from baton.switches s where (s.environment, s.tenant_id, s.scope) = (old.environment, old.tenant_id, was);
  insert into baton.budgets (environment, tenant_id, scope, period, limit_micros, limit_tokens, limit_calls, max_per_call_micros, updated_at, updated_by)
  select b.environment, b.tenant_id, heir, b.period, b.limit_micros, b.limit_tokens, b.limit_calls, b.max_per_call_micros, b.updated_at, b.updated_by
  from baton.budgets b where (b.environment, b.tenant_id, b.scope) = (old.environment, old.tenant_id, was);
  insert into baton.limits (tenant_id, scope, settings, updated_by, updated_at) select l.tenant_id, heir, l.settings, l.updated_by, l.updated_at
  from baton.limits l where (l.tenant_id, l.scope) = (old.tenant_id, was);
  -- Also those of a limit of `key:*`. What runs of the old key have set aside counts as spent: it is given back to the old key's counter alone.
  for of_key in select x.key from baton.budget_counters x where x.environment = old.environment and x.tenant_id = old.tenant_id and x.scope = was
    and x.period_start = baton.period_start(x.period) order by x.key
  loop
    c := baton.lock_counter(of_key);
    c.key := baton.counter_key(c.environment, c.tenant_id, heir, c.period);
    c.scope := heir;
    c.spent_micros := c.spent_micros + c.reserved_micros;
    c.tokens := c.tokens + c.reserved_tokens;
    c.reserved_micros := 0;
    c.reserved_tokens := 0;
    insert into baton.budget_counters select c.*;
    insert into baton.budget_carried (key, spent_micros, tokens, calls) values (c.key, c.spent_micros, c.tokens, c.calls);
    perform baton.make_parts(c.key, heir);
  end loop;
  return jsonb_build_object('inherited', nullif(jsonb_strip_nulls(told), '{}'));
end $$;

-- {key, id, hash, prefix, overlapMs} A new key of the same rights and life, and of the same bounds; the old one goes on for the overlap, so that two are active.
create or replace function baton.rotate_key(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  old baton.api_keys := baton.find_key(p);
  k baton.api_keys;
  now timestamptz := baton.clock();
  refusal json;
begin
  if old.id is null then return baton.refuse('key_not_found'); end if;
  select * into k from baton.api_keys x where x.id = p ->> 'id' and x.hash = p ->> 'hash';
  if found then return json_build_object('ok', true, 'key', baton.key_json(k), 'old', baton.key_json(old)); end if;
  if not baton.key_live(old) then return baton.refuse('conflict', '{"reason": "not_active"}'); end if;
  if exists (select from baton.api_keys x where x.rotated_from = old.id and baton.key_live(x)) then return baton.refuse('conflict', '{"reason": "already_rotated"}'); end if;
  refusal := baton.new_key_refusal(p, old.scopes);
  if refusal is not null then return refusal; end if;
  insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, expires_at, created_by, rotated_from, line)
  values (p ->> 'id', old.tenant_id, old.environment, p ->> 'hash', p ->> 'prefix', old.name, old.scopes, now + (old.expires_at - old.created_at), p ->> 'caller', old.id, coalesce(old.line, old.id))
  returning * into k;
  update baton.api_keys x set expires_at = least(x.expires_at, now + baton.duration((p ->> 'overlapMs')::numeric)) where x.id = old.id returning * into old;
  perform baton.audit_key(p, 'key.rotate', k, baton.inherit_key(old, 'key:' || k.id));
  return json_build_object('ok', true, 'key', baton.key_json(k), 'old', baton.key_json(old));
end $$;

-- {tenant, environment, secret, key: {id, hash, prefix, name}, anew, newSecret} The first tenant and its first admin key, for the bootstrap command; what
-- exists is left as it is. `anew` makes another key beside those that exist, `newSecret` signs with another secret from now on (one that a
-- delivery was written with goes on with it). Repeated with the same key and sealed secret, it answers again what it
-- has made: nobody could show either of them later.
create or replace function baton.bootstrap(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  t baton.tenants;
  k baton.api_keys;
  tenant_made boolean;
  secret_made boolean;
  admins bigint;
begin
  insert into baton.tenants (id, environment, webhook_secret) values (p ->> 'tenant', p ->> 'environment', p ->> 'secret') on conflict (id) do nothing;
  tenant_made := found;
  select * into t from baton.tenants x where x.id = p ->> 'tenant' for no key update;
  secret_made := t.webhook_secret is not distinct from p ->> 'secret';
  if t.environment <> p ->> 'environment' then return baton.refuse('tenant_missing', jsonb_build_object('tenant', t.id, 'environment', t.environment)); end if;
  if (p ->> 'newSecret')::boolean and not secret_made then
    update baton.tenants x set webhook_secret = p ->> 'secret' where x.id = t.id;
    secret_made := true;
    perform baton.audit_request(jsonb_build_object('tenant', t.id, 'environment', t.environment, 'caller', 'bootstrap'),
      jsonb_build_object('action', 'webhook.rotate', 'decision', 'allowed', 'scope', 'tenant'));
  end if;
  select * into k from baton.api_keys x where x.id = p -> 'key' ->> 'id' and x.hash = p -> 'key' ->> 'hash';
  select count(*) into admins from baton.api_keys x where x.tenant_id = t.id and x.id is distinct from k.id and 'admin' = any (x.scopes) and baton.key_live(x);
  if k.id is null and (admins = 0 or (p ->> 'anew')::boolean) then
    insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by)
    values (p -> 'key' ->> 'id', t.id, t.environment, p -> 'key' ->> 'hash', p -> 'key' ->> 'prefix', p -> 'key' ->> 'name', array['admin'], 'bootstrap') returning * into k;
    perform baton.audit_key(jsonb_build_object('tenant', t.id, 'environment', t.environment, 'caller', 'bootstrap'), 'key.create', k);
  end if;
  return json_build_object('ok', true, 'tenantMade', tenant_made, 'secretMade', secret_made, 'adminKeys', admins, 'keyMade', k.id is not null);
end $$;

-- Keys that have let nobody in for 400 days.
create or replace function baton.prune_keys(env text, before timestamptz, most integer) returns integer language plpgsql set search_path = '' as $$
declare
  dead text[] := array(select k.id from baton.api_keys k where k.environment = env and coalesce(least(k.revoked_at, k.expires_at), k.revoked_at, k.expires_at) < before limit most);
begin
  update baton.api_keys k set rotated_from = null where k.rotated_from = any (dead);
  delete from baton.api_keys k where k.id = any (dead);
  -- Each rotation copies these, and limits have a number. Switches stay: a run may be held by one.
  delete from baton.limits l where l.scope = any (array(select 'key:' || d from unnest(dead) d));
  delete from baton.budgets b where b.environment = env and b.scope = any (array(select 'key:' || d from unnest(dead) d));
  return cardinality(dead);
end $$;
