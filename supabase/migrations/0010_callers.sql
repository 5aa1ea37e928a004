-- Who asks. Every function that a caller reaches goes through authorize, in the same round trip.
create table if not exists baton.api_keys (
  id text primary key,
  tenant_id text not null references baton.tenants (id),
  environment text not null,
  -- SHA-256 of the whole key in hex: the key itself is shown once and kept nowhere.
  hash text not null unique check (hash ~ '^[0-9a-f]{64}$'),
  prefix text not null,
  name text not null,
  scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['agents:read', 'agents:run', 'approvals:decide', 'admin']),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_by text not null,
  rotated_from text references baton.api_keys (id),
  created_at timestamptz not null default baton.clock()
) with (fillfactor = 80);
create index if not exists api_keys_of_tenant on baton.api_keys (tenant_id, id);
create index if not exists api_keys_of_environment on baton.api_keys (environment) where revoked_at is null;
create index if not exists api_keys_rotated on baton.api_keys (rotated_from) where rotated_from is not null;

-- The first key of those that were rotated one into the other, null for itself: they are one caller in what they repeat and read, whatever becomes of the first.
alter table baton.api_keys add column if not exists line text;
with recursive lines as (
  select k.id, coalesce(k.line, k.id) as line from baton.api_keys k where k.rotated_from is null
  union all select k.id, l.line from baton.api_keys k join lines l on l.id = k.rotated_from)
update baton.api_keys k set line = l.line from lines l where l.id = k.id and l.line <> k.id and k.line is null;

-- Owners' rows are found by these: lists of a user, and the policies of 0030.
create index if not exists agents_of_owner on baton.agents (owner_id, agent_uid) where owner_id is not null;
create index if not exists runs_of_owner on baton.runs (owner_id, run_id) where owner_id is not null;

create or replace function baton.key_live(k baton.api_keys) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return k.revoked_at is null and (k.expires_at is null or k.expires_at > baton.clock());
end $$;

-- What a list of rights comes to: admin is all of them; the others imply nothing.
create or replace function baton.rights_of(scopes text[]) returns text[] language plpgsql immutable set search_path = '' as $$
begin
  return case when 'admin' = any (scopes) then array['agents:read', 'agents:run', 'approvals:decide', 'admin'] else scopes end;
end $$;

-- Whether an authorized request may see an agent and what belongs to it: a user what it owns, a stream token its one agent.
create or replace function baton.may_see(p jsonb, agent_uid uuid, owner uuid) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  if p ? 'onlyAgent' and (p ->> 'onlyAgent')::uuid <> agent_uid then return false; end if;
  return not p ? 'ownOnly' or coalesce(owner = (p ->> 'ownerId')::uuid, false);
end $$;

-- Under what name a caller's idempotency keys are kept and its runs are its own: a key and its successors are one.
create or replace function baton.line_of(p jsonb) returns text language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(p ->> 'line', p ->> 'caller');
end $$;

-- Whether an authorized request may be told of what nobody in particular has made.
drop function if exists baton.may_read(jsonb, text);
create or replace function baton.may_read(p jsonb) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return p -> 'rights' ? 'agents:read';
end $$;

-- Who is told of runs: null where it is all of them, else the name of the caller's line, which is told of its own.
create or replace function baton.reader_of(p jsonb) returns text language plpgsql immutable set search_path = '' as $$
begin
  return case when not baton.may_read(p) then baton.line_of(p) end;
end $$;

-- Whether a reader may be told of a run: its line has asked for it, and not by a retry of another's, for such a run goes on with all that the other one held.
create or replace function baton.told_of(reader text, r baton.runs) returns boolean language plpgsql stable set search_path = '' as $$
declare
  own boolean := true;
begin
  if reader is null then return true; end if;
  for n in 1 .. 1000 loop
    own := coalesce(r.created_by = reader or r.created_by like 'key:%'
      and exists (select from baton.api_keys k where k.id = substr(r.created_by, 5) and 'key:' || k.line = reader), false);
    if not own or r.retry_of is null then return own; end if;
    select * into r from baton.runs x where x.run_id = r.retry_of;
  end loop;
  return false;
end $$;

-- Users start and go on with what the template's author has opened to them; null when all is well.
create or replace function baton.template_refusal(p jsonb, settings jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  if not p ? 'ownOnly' or coalesce((settings ->> 'public')::boolean, false) then return null; end if;
  return baton.refuse('forbidden', jsonb_build_object('reason', 'template_not_public', 'template', settings ->> 'template'));
end $$;

-- Never waited for: a row that another request has locked is being written by it.
create or replace function baton.touch_key(k baton.api_keys) returns void language plpgsql set search_path = '' as $$
declare
  now timestamptz := baton.clock();
begin
  update baton.api_keys x set last_used_at = now
  where x.id = (select y.id from baton.api_keys y where y.id = k.id and y.last_used_at is not distinct from k.last_used_at for no key update skip locked);
end $$;

-- {environment, credential, requestId?} and the right that is needed (several with |: any of them) -> the request with tenant, caller and ownerId, or {ok: false, code}.
-- credential: {operator: {tenant, name}} the local mode's owner or the admin key; {keyHash} an API key, resolved here;
-- {user: {id, tenant, beyond?}} a verified Supabase user, with the body fields it named that are not a user's to set;
-- {stream: {tenant, agentUid}} a verified read-only stream token. A user owns what it makes and sees nothing else (ownOnly).
-- Whatever the request says of tenant, caller or owner is thrown away first.
create or replace function baton.authorize(p jsonb, needed text) returns jsonb language plpgsql set search_path = '' as $$
declare
  c jsonb := p -> 'credential';
  q jsonb := p - array['tenant', 'caller', 'ownerId', 'ownOnly', 'onlyAgent', 'rights', 'line'];
  k baton.api_keys;
  rights text[];
  fault text;
begin
  -- A string and an array have the members they are made of too: only an object is a credential.
  if jsonb_typeof(c) is distinct from 'object' then return jsonb_build_object('ok', false, 'code', 'unauthorized'); end if;
  if c ? 'keyHash' then
    select * into k from baton.api_keys x where x.hash = c ->> 'keyHash';
    if not found or k.environment is distinct from p ->> 'environment' or not baton.key_live(k) then return jsonb_build_object('ok', false, 'code', 'unauthorized'); end if;
    if k.last_used_at is null or k.last_used_at <= baton.clock() - interval '1 minute' then perform baton.touch_key(k); end if;
    rights := baton.rights_of(k.scopes);
    q := q || jsonb_build_object('tenant', k.tenant_id, 'caller', 'key:' || k.id);
    if k.line is not null then q := q || jsonb_build_object('line', 'key:' || k.line); end if;
  elsif c ? 'operator' then
    rights := baton.rights_of(array['admin']);
    q := q || jsonb_build_object('tenant', c -> 'operator' ->> 'tenant', 'caller', c -> 'operator' ->> 'name');
  elsif c ? 'user' then
    rights := array['agents:read', 'agents:run'];
    q := q || jsonb_build_object('tenant', c -> 'user' ->> 'tenant', 'caller', 'user:' || (c -> 'user' ->> 'id'), 'ownerId', c -> 'user' ->> 'id', 'ownOnly', true);
    if jsonb_array_length(coalesce(c -> 'user' -> 'beyond', '[]')) > 0 then fault := 'fields_not_for_users'; end if;
  elsif c ? 'stream' then
    -- A right of its own: what else agents:read opens is no business of whoever was given a link.
    rights := array['stream'];
    q := q || jsonb_build_object('tenant', c -> 'stream' ->> 'tenant', 'caller', 'stream', 'onlyAgent', c -> 'stream' ->> 'agentUid');
  end if;
  if q ->> 'tenant' is null or q ->> 'caller' is null then return jsonb_build_object('ok', false, 'code', 'unauthorized'); end if;
  if not string_to_array(needed, '|') && rights then fault := 'right_missing'; end if;
  if fault is null then return q || jsonb_build_object('rights', to_jsonb(rights)); end if;
  -- No key could have it.
  needed := replace(needed, '|stream', '');
  perform baton.audit_refused(q, jsonb_build_object('action', 'request.authorize', 'decision', 'refused', 'code', 'forbidden', 'reason', fault,
    'data', jsonb_strip_nulls(jsonb_build_object('needed', needed, 'rights', to_jsonb(rights), 'fields', c -> 'user' -> 'beyond'))));
  return jsonb_strip_nulls(jsonb_build_object('ok', false, 'code', 'forbidden', 'reason', fault, 'needed', needed, 'fields', c -> 'user' -> 'beyond'));
end $$;

-- {environment} Whether any key could let anybody in.
create or replace function baton.has_keys(p jsonb) returns json language plpgsql volatile set search_path = '' as $$
begin
  return json_build_object('ok', true, 'keys', exists (select from baton.api_keys k where k.environment = p ->> 'environment' and k.revoked_at is null and baton.key_live(k)));
end $$;

-- {id, environment, secret} The first tenant of a local stack. Production tenants are made by the bootstrap command.
create or replace function baton.ensure_tenant(p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  insert into baton.tenants (id, environment, webhook_secret) values (p ->> 'id', p ->> 'environment', p ->> 'secret') on conflict (id) do nothing;
  return json_build_object('ok', exists (select from baton.tenants t where t.id = p ->> 'id' and t.environment = p ->> 'environment'));
end $$;

create or replace function baton.get_tenant(p jsonb) returns json language sql stable set search_path = '' as $$
  select coalesce((select json_build_object('ok', true, 'id', t.id, 'secret', t.webhook_secret) from baton.tenants t
    where t.id = p ->> 'tenant' and t.environment = p ->> 'environment'), json_build_object('ok', false, 'code', 'tenant_missing'))
$$;
