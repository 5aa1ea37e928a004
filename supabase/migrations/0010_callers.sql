-- Who asks. Every function that a caller reaches goes through authorize, in the same round trip.

-- {environment, credential, requestId?} and the right that is needed -> the request with tenant, caller and ownerId, or {ok: false, code}.
-- credential: {operator: {tenant, name}} the local mode's owner or the admin key; {user: {id, tenant}} a verified Supabase user;
-- {stream: {tenant, agentUid}} a verified read-only stream token. A user owns what it makes and sees nothing else (ownOnly).
create or replace function baton.authorize(p jsonb, needed text) returns jsonb language plpgsql set search_path = '' as $$
declare
  c jsonb := p -> 'credential';
begin
  if c ? 'operator' then
    return p || jsonb_build_object('tenant', c -> 'operator' ->> 'tenant', 'caller', c -> 'operator' ->> 'name', 'ownerId', null);
  end if;
  if c ? 'user' then
    return p || jsonb_build_object('tenant', c -> 'user' ->> 'tenant', 'caller', 'user:' || (c -> 'user' ->> 'id'), 'ownerId', c -> 'user' ->> 'id', 'ownOnly', true);
  end if;
  if c ? 'stream' and needed = 'agents:read' then
    return p || jsonb_build_object('tenant', c -> 'stream' ->> 'tenant', 'caller', 'stream', 'ownerId', null);
  end if;
  return jsonb_build_object('ok', false, 'code', 'unauthorized');
end $$;
