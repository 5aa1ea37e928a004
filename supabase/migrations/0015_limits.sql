-- Limits that administrators set (rates, runs at a time, queued messages, agents of a user) and limits of runs at a time. That of agents is kept in 0003.
-- Rates are counted outside the database (lib/limiter); here stand only their settings and the audit of refusals.
create table if not exists baton.limits (
  tenant_id text not null references baton.tenants (id) on delete cascade,
  scope text not null,
  settings jsonb not null,
  updated_by text not null,
  updated_at timestamptz not null default baton.clock(),
  primary key (tenant_id, scope)
);

-- Runs at work, by tenant and owner. It changes only with the state of a run, and so with no commit between beginning and end.
create index if not exists runs_at_work on baton.runs (tenant_id, owner_id) where state in ('running', 'waiting');

-- {tenant, environment} -> {limits: {scope: values}}
create or replace function baton.tenant_limits(p jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('ok', true, 'limits', (select coalesce(json_object_agg(l.scope, l.settings), '{}')
    from baton.limits l join baton.tenants t on t.id = l.tenant_id where l.tenant_id = p ->> 'tenant' and t.environment = p ->> 'environment'));
end $$;

-- Who the credential is, and what is set for its tenant: asked once a process and key. It asks for no right (null), for it gives none:
-- a key that may only run agents is limited like any other.
create or replace function baton.limits_of(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  q jsonb := baton.authorize(p, null);
begin
  if q ->> 'ok' = 'false' then return q::json; end if;
  return (baton.tenant_limits(q)::jsonb || jsonb_build_object('tenant', q ->> 'tenant', 'caller', q ->> 'caller'))::json;
end $$;

create or replace function baton.limit_json(l baton.limits) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return l.settings || jsonb_build_object('scope', l.scope, 'updatedBy', l.updated_by, 'updatedAt', l.updated_at);
end $$;

create or replace function baton.list_limits(p jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('ok', true, 'data', (select coalesce(json_agg(baton.limit_json(l) order by l.scope), '[]')
    from baton.limits l join baton.tenants t on t.id = l.tenant_id where l.tenant_id = p ->> 'tenant' and t.environment = p ->> 'environment'));
end $$;

-- {scope, values} Replaces what is set for the scope; {} gives it its defaults back. At most 1,000 scopes: processes keep them all.
create or replace function baton.set_limit(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  l baton.limits;
begin
  if not exists (select from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment') then return baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant')); end if;
  if p -> 'values' = '{}' then
    delete from baton.limits x where x.tenant_id = p ->> 'tenant' and x.scope = p ->> 'scope';
  elsif (select count(*) from baton.limits x where x.tenant_id = p ->> 'tenant' and x.scope <> p ->> 'scope') >= 1000 then
    return baton.refuse('conflict', '{"reason": "too_many_limits", "most": 1000}');
  end if;
  l := (p ->> 'tenant', p ->> 'scope', p -> 'values', p ->> 'caller', baton.clock());
  if p -> 'values' <> '{}' then
    insert into baton.limits select l.* on conflict (tenant_id, scope) do update
    set settings = excluded.settings, updated_by = excluded.updated_by, updated_at = excluded.updated_at;
  end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'limit.set', 'decision', 'recorded', 'scope', l.scope, 'data', l.settings));
  return json_build_object('ok', true, 'limit', baton.limit_json(l));
end $$;

-- {limit, perWindow, count} Requests that a process has refused since it last told: one entry, not one a request.
create or replace function baton.limit_refused(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  q jsonb := baton.authorize(p, null);
begin
  if q ->> 'ok' = 'false' then return q::json; end if;
  perform baton.audit_request(q, jsonb_build_object('action', 'request.admit', 'decision', 'refused', 'code', 'rate_limited',
    'reason', 'The limit ' || (p ->> 'limit') || ' of ' || (p ->> 'perWindow') || ' is used up.', 'data', jsonb_build_object('limit', p -> 'limit', 'count', p -> 'count')));
  return json_build_object('ok', true);
end $$;

create or replace function baton.runs_refusal(scope text, most bigint, working bigint) returns json language plpgsql set search_path = '' as $$
begin
  if working < most then return null; end if;
  return baton.refuse('queue_full', jsonb_build_object('scope', scope, 'limit', most, 'running', working, 'retryAfterMs', 5000));
end $$;

-- Of a busy agent whose template takes no more messages behind the one at work, whoever asks: a message, a retry.
create or replace function baton.queue_refusal(w baton.work) returns json language plpgsql set search_path = '' as $$
begin
  if (w.a).active_run is not null and (w.a).queued >= ((w.a).settings ->> 'maxQueued')::integer then
    return baton.refuse('queue_full', jsonb_build_object('queued', (w.a).queued, 'retryAfterMs', 5000));
  end if;
  return null;
end $$;

-- Whoever names the run that the message or the retry follows is told, under the lock, when somebody else has gone on from it.
create or replace function baton.gone_on(w baton.work, p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  last_run text;
begin
  if p -> 'agent' ->> 'after' is null then return null; end if;
  last_run := (select max(r.run_id) from baton.runs r where r.agent_uid = (w.a).agent_uid);
  if last_run is not distinct from p -> 'agent' ->> 'after' then return null; end if;
  return baton.refuse('not_last_run', jsonb_build_object('lastRunId', last_run));
end $$;

-- Limits of runs at a time (running or waiting; one that awaits an approval runs nowhere) and of queued messages. A message to an agent
-- at work starts nothing: it queues, and its run replaces one that has ended; but one that interrupts a run that awaits an approval begins at once,
-- and replaces none. Starting is serialised by tenant and by owner, after the agent's row and in this order, and only where a limit holds: then two
-- processes cannot both take the last place.
create or replace function baton.concurrency_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  owner text := 'user:' || (w.a).owner_id;
  agent text := 'agent:' || (w.a).id;
  given jsonb;
  most bigint;
  -- A retry names none, for it interrupts nobody.
  busy text := case when p ? 'message' then coalesce(p ->> 'onBusy', (w.a).settings ->> 'onBusy') else 'enqueue' end;
  refusal json;
begin
  select coalesce(jsonb_object_agg(l.scope, l.settings), '{}') into given from baton.limits l
  where l.tenant_id = (w.a).tenant_id and l.scope = any (array['tenant', 'user:*', owner, 'agent:*', agent]);
  if (w.a).active_run is not null then
    most := coalesce(given -> agent ->> 'queuedMessages', given -> 'agent:*' ->> 'queuedMessages')::bigint;
    if (w.a).queued >= most and busy <> 'reject' then
      return baton.refuse('queue_full', jsonb_build_object('scope', agent, 'limit', most, 'queued', (w.a).queued, 'retryAfterMs', 5000));
    end if;
    if busy <> 'interrupt' or not exists (select from baton.runs r where r.run_id = (w.a).active_run and r.state = 'awaiting_approval') then return null; end if;
  end if;
  most := (given -> 'tenant' ->> 'concurrentRuns')::bigint;
  if most is not null then
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('baton:runs:' || (w.a).tenant_id, 0));
    refusal := baton.runs_refusal('tenant', most, (select count(*) from baton.runs r
      where r.tenant_id = (w.a).tenant_id and r.state in ('running', 'waiting')));
    if refusal is not null then return refusal; end if;
  end if;
  if (w.a).owner_id is null then return null; end if;
  most := coalesce(given -> owner ->> 'concurrentRuns', given -> 'user:*' ->> 'concurrentRuns', '5')::bigint;
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('baton:runs:' || (w.a).tenant_id || ':' || owner, 0));
  return baton.runs_refusal(owner, most, (select count(*) from baton.runs r
    where r.tenant_id = (w.a).tenant_id and r.owner_id = (w.a).owner_id and r.state in ('running', 'waiting')));
end $$;

-- One entry a tool call that its rate limit refused, in the commit of the outcome.
create or replace function baton.audit_limited(w baton.work, calls jsonb) returns void language plpgsql set search_path = '' as $$
declare
  c jsonb;
begin
  for c in select e from jsonb_array_elements(coalesce(calls, '[]')) e where e ->> 'note' = 'rate_limited' loop
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'refused', 'code', 'rate_limited', 'scope', 'tool:' || (c ->> 'name'),
      'callId', c ->> 'callId'));
  end loop;
end $$;
