-- The audit log: one entry a decision, written in the transaction of the decision. Append-only: nobody is granted update or delete.
create table if not exists baton.audit (
  id bigint generated always as identity primary key,
  tenant_id text not null,
  environment text not null,
  at timestamptz not null default baton.clock(),
  -- key:ID, user:ID, local, admin, or system for what no caller asked for.
  actor text not null,
  action text not null,
  decision text not null check (decision in ('allowed', 'refused', 'recorded')),
  code text,
  reason text,
  scope text,
  agent_uid uuid,
  agent_id text,
  run_id text,
  call_id text,
  estimate_micros bigint,
  cost_micros bigint,
  total_micros bigint,
  request_id text,
  trace_id text,
  data jsonb
);
create index if not exists audit_of_tenant on baton.audit (tenant_id, id);
create index if not exists audit_of_agent on baton.audit (tenant_id, agent_id, id) where agent_id is not null;
create index if not exists audit_age on baton.audit using brin (at);

-- Entries that could not be written: counted, for they stop nobody.
create table if not exists baton.audit_failures (
  environment text primary key,
  failures bigint not null default 0,
  last_at timestamptz,
  last_error text
);

-- {tenant, environment, actor, action, decision, code?, reason?, scope?, agentUid?, agentId?, runId?, callId?, estimateMicros?, costMicros?, totalMicros?,
-- requestId?, traceId?, data?} A failing entry never stops what it tells of; it is counted.
create or replace function baton.write_audit(e jsonb) returns void language plpgsql set search_path = '' as $$
begin
  insert into baton.audit (tenant_id, environment, actor, action, decision, code, reason, scope, agent_uid, agent_id, run_id, call_id, estimate_micros, cost_micros,
    total_micros, request_id, trace_id, data)
  values (e ->> 'tenant', e ->> 'environment', coalesce(e ->> 'actor', 'system'), e ->> 'action', e ->> 'decision', e ->> 'code', left(e ->> 'reason', 500), e ->> 'scope',
    (e ->> 'agentUid')::uuid, e ->> 'agentId', e ->> 'runId', e ->> 'callId', (e ->> 'estimateMicros')::bigint, (e ->> 'costMicros')::bigint,
    (e ->> 'totalMicros')::bigint, e ->> 'requestId', e ->> 'traceId', nullif(e -> 'data', 'null'));
exception when others then
  insert into baton.audit_failures as f (environment, failures, last_at, last_error) values (coalesce(e ->> 'environment', ''), 1, baton.clock(), sqlerrm)
  on conflict (environment) do update set failures = f.failures + 1, last_at = excluded.last_at, last_error = excluded.last_error;
end $$;

-- An entry about a run, with what its rows say of it; e adds action, decision and the rest, and may name another actor.
create or replace function baton.audit_run(w baton.work, e jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.write_audit(jsonb_build_object('tenant', (w.a).tenant_id, 'environment', (w.a).environment, 'actor', coalesce((w.r).created_by, (w.a).created_by),
    'agentUid', (w.a).agent_uid, 'agentId', (w.a).id, 'runId', (w.r).run_id, 'traceId', substr((w.r).traceparent, 4, 32)) || e);
end $$;

-- An entry about what a caller asked for; p is an authorized request (see authorize).
create or replace function baton.audit_request(p jsonb, e jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.write_audit(jsonb_build_object('tenant', p ->> 'tenant', 'environment', p ->> 'environment', 'actor', p ->> 'caller', 'requestId', p ->> 'requestId') || e);
end $$;

-- The scopes that apply to a run, one grammar for budgets, kills, limits and audit (3-http-api): tool:NAME is added where a tool is meant.
create or replace function baton.scopes_of(a baton.agents, r baton.runs) returns text[] language plpgsql stable set search_path = '' as $$
begin
  return array_remove(array['global', 'tenant', 'user:' || coalesce(r.owner_id, a.owner_id), case when r.created_by like 'key:%' then r.created_by end,
    'agent:' || a.id, 'run:' || r.run_id], null);
end $$;
