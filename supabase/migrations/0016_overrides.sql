-- What narrows a run beyond its template: hooks that decide calls, overrides of agents and messages, authority that expires.

-- calls: those that a hook has decided in the tool's place have {hook: {name, decision, reason}}; one entry each.
create or replace function baton.audit_hooks(w baton.work, calls jsonb) returns void language plpgsql set search_path = '' as $$
declare
  c jsonb;
begin
  for c in select x from jsonb_array_elements(calls) x where x ? 'hook' loop
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', c -> 'hook' -> 'decision', 'code', 'hook', 'callId', c -> 'callId',
      'reason', c -> 'hook' -> 'reason', 'data', jsonb_build_object('tool', c -> 'name', 'hook', c -> 'hook' -> 'name')));
  end loop;
end $$;

-- overrides: as the caller has them. narrowing: the same with the preset resolved (lib/core/overrides), without what stands in columns.
alter table baton.agents add column if not exists narrowing jsonb not null default '{}';
alter table baton.agents add column if not exists expires_at timestamptz;
-- {window in milliseconds: {start, calls}}: what was counted under each rate that applied.
alter table baton.agents add column if not exists rates jsonb;
alter table baton.runs add column if not exists overrides jsonb not null default '{}';
alter table baton.runs add column if not exists narrowing jsonb not null default '{}';
alter table baton.runs add column if not exists expires_at timestamptz;

-- When authority ends that was given now: at the instant that was asked for, or when the preset's time is over.
create or replace function baton.expiry_of(narrowing jsonb) returns timestamptz language plpgsql volatile set search_path = '' as $$
begin
  return least((narrowing ->> 'expiresAt')::timestamptz, baton.clock() + baton.duration((narrowing ->> 'expiresInMs')::numeric));
end $$;

-- Milliseconds until the authority of the run ends; null when nothing ends it.
create or replace function baton.expires_in(a baton.agents, r baton.runs) returns bigint language plpgsql stable set search_path = '' as $$
begin
  return baton.millis(least(a.expires_at, r.expires_at) - baton.clock());
end $$;

create or replace function baton.has_expired(w baton.work) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return coalesce(baton.expires_in(w.a, w.r) <= 0, false);
end $$;

-- The strictest of the rates that apply: {left, resetInMs}; null without any.
create or replace function baton.rate_left(a baton.agents, r baton.runs) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  rate jsonb;
  used jsonb;
  ms bigint;
  reset_ms bigint;
  room bigint;
  strictest jsonb;
begin
  foreach rate in array array_remove(array[a.narrowing -> 'rate', r.narrowing -> 'rate'], null) loop
    ms := (rate ->> 'ms')::bigint;
    used := a.rates -> ms::text;
    reset_ms := coalesce(baton.millis((used ->> 'start')::timestamptz + baton.duration(ms) - baton.clock()), 0);
    if reset_ms <= 0 then used := null; end if;
    room := (rate ->> 'calls')::bigint - coalesce((used ->> 'calls')::bigint, 0);
    if strictest is null or room < (strictest ->> 'left')::bigint then
      strictest := jsonb_build_object('left', room, 'resetInMs', case when used is null then ms else reset_ms end);
    end if;
  end loop;
  return strictest;
end $$;

-- Counts calls that begin now, under every rate that applies. The row is locked by whoever comes here.
create or replace function baton.count_calls(w baton.work, calls integer) returns baton.work language plpgsql set search_path = '' as $$
declare
  rate jsonb;
  used jsonb;
  ms bigint;
  now_at timestamptz := baton.clock();
begin
  if calls = 0 or (w.a).narrowing -> 'rate' is null and (w.r).narrowing -> 'rate' is null then return w; end if;
  foreach rate in array array_remove(array[(w.a).narrowing -> 'rate', (w.r).narrowing -> 'rate'], null) loop
    ms := (rate ->> 'ms')::bigint;
    used := (w.a).rates -> ms::text;
    if used is null or (used ->> 'start')::timestamptz + baton.duration(ms) <= now_at then used := jsonb_build_object('start', now_at, 'calls', 0); end if;
    w.a.rates := coalesce((w.a).rates, '{}') || jsonb_build_object(ms::text, used || jsonb_build_object('calls', (used ->> 'calls')::bigint + calls));
    -- Two rates of one window share its count.
    exit when (w.a).narrowing -> 'rate' ->> 'ms' = (w.r).narrowing -> 'rate' ->> 'ms';
  end loop;
  update baton.agents a set rates = (w.a).rates where a.agent_uid = (w.a).agent_uid;
  return w;
end $$;

-- Takes back the count of a model call that was set aside at `since` and never made, in the windows that it stands in.
create or replace function baton.uncount_call(w baton.work, since timestamptz) returns baton.work language plpgsql set search_path = '' as $$
declare
  kept jsonb;
begin
  if (w.a).rates is null then return w; end if;
  -- The window begins with its first call, a moment after that was set aside.
  select jsonb_object_agg(x.key, case when (x.value ->> 'start')::timestamptz <= since + interval '1 second'
    then x.value || jsonb_build_object('calls', greatest(0, (x.value ->> 'calls')::bigint - 1)) else x.value end) into kept from jsonb_each((w.a).rates) x;
  w.a.rates := kept;
  update baton.agents a set rates = kept where a.agent_uid = (w.a).agent_uid;
  return w;
end $$;

-- Limits of a run lowered by what its agent and its message narrow; a limit that only they have comes in.
create or replace function baton.narrowed_limits(limits jsonb, agent jsonb, message jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
declare
  layer jsonb;
begin
  foreach layer in array array[agent -> 'limits', message -> 'limits'] loop
    if layer is null then continue; end if;
    limits := limits || (select jsonb_object_agg(l.key, least(l.value::numeric, (limits ->> l.key)::numeric)) from jsonb_each(layer) l);
  end loop;
  return limits;
end $$;

-- Whether what the message narrows may stand beside what the agent was made with, and whether there is authority and rate left at all.
create or replace function baton.narrowing_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  n jsonb := coalesce(p -> 'run' -> 'narrowing', '{}');
  left_over jsonb;
  details jsonb;
  refused text;
begin
  if coalesce(least((w.a).expires_at, (n ->> 'expiresAt')::timestamptz) <= baton.clock(), false) then
    refused := 'authority_expired';
    details := jsonb_build_object('expiresAt', least((w.a).expires_at, (n ->> 'expiresAt')::timestamptz), 'now', baton.clock());
  elsif (n ->> 'expiresAt')::timestamptz > (w.a).expires_at then
    refused := 'override_refused';
    details := jsonb_build_object('field', 'expiresAt', 'allowed', (w.a).expires_at);
  elsif n ->> 'model' <> (w.a).narrowing ->> 'model' then
    refused := 'override_refused';
    details := jsonb_build_object('field', 'model', 'allowed', (w.a).narrowing -> 'model');
  else
    left_over := baton.rate_left(w.a, null);
    if (left_over ->> 'left')::bigint > 0 or left_over is null then return null; end if;
    refused := 'rate_limited';
    details := jsonb_build_object('scope', 'agent:' || (w.a).id, 'retryAfterMs', left_over -> 'resetInMs');
  end if;
  return baton.refuse(refused, details);
end $$;

-- Writes what the message narrows onto its run, right after the run was made.
drop function if exists baton.narrow_run(text, jsonb);
create or replace function baton.narrow_run(of_run text, p jsonb) returns baton.runs language plpgsql set search_path = '' as $$
declare
  r baton.runs;
begin
  update baton.runs x set overrides = coalesce(p -> 'run' -> 'overrides', '{}'), narrowing = p -> 'run' -> 'narrowing', expires_at = baton.expiry_of(p -> 'run' -> 'narrowing')
  where x.run_id = of_run returning x.* into r;
  return r;
end $$;

-- A retry has no more authority than the run that it goes on from.
create or replace function baton.narrow_retry(run_id text, old baton.runs) returns void language plpgsql set search_path = '' as $$
begin
  if old.narrowing = '{}' then return; end if;
  update baton.runs r set overrides = old.overrides, narrowing = old.narrowing, expires_at = old.expires_at where r.run_id = narrow_retry.run_id;
end $$;

-- Writes what narrows an agent onto its new row. The total of a preset is a budget of the agent over all its runs.
create or replace function baton.narrow_agent(w baton.work, p jsonb) returns baton.work language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  n jsonb := p -> 'agent' -> 'narrowing';
  -- The audit is kept as long as the ledger, and is found by name.
  spent boolean := n -> 'limits' is not null and exists (select from baton.audit e where e.tenant_id = (w.a).tenant_id and e.agent_id = (w.a).id and e.cost_micros is not null);
begin
  if n is null then return w; end if;
  w.a.narrowing := n;
  w.a.expires_at := baton.expiry_of(n);
  update baton.agents a set narrowing = (w.a).narrowing, expires_at = (w.a).expires_at where a.agent_uid = (w.a).agent_uid;
  if n -> 'limits' is not null then
    -- As in put_budget: the ledger before the row. Most names are new, and wait for nobody.
    if spent then lock table baton.reservations in share row exclusive mode; end if;
    -- A budget that stands already is only lowered; it is of the name, so that deleting and making the agent anew gives nothing back.
    insert into baton.budgets as b (environment, tenant_id, scope, period, limit_micros, max_per_call_micros, updated_by)
    values ((w.a).environment, (w.a).tenant_id, 'agent:' || (w.a).id, 'lifetime', (n -> 'limits' ->> 'maxCostMicros')::bigint,
      (n -> 'limits' ->> 'maxPerCallMicros')::bigint, (w.a).created_by)
    on conflict (environment, tenant_id, scope, period) do update set limit_micros = least(b.limit_micros, excluded.limit_micros),
      max_per_call_micros = least(b.max_per_call_micros, excluded.max_per_call_micros), updated_by = excluded.updated_by;
    if spent then perform baton.rebuild_counters((w.a).environment, (w.a).tenant_id, 'agent:' || (w.a).id, 'lifetime'); end if;
  end if;
  perform baton.audit_request(p, jsonb_build_object('action', 'agent.narrow', 'decision', 'recorded', 'agentUid', (w.a).agent_uid, 'agentId', (w.a).id,
    'data', (w.a).overrides));
  return w;
end $$;

-- The model on the agent's row is that of its template: for another one the executor asks for the money itself, before the call.
create or replace function baton.own_model(w baton.work) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return not ((w.a).narrowing ? 'model' or (w.r).narrowing ? 'model');
end $$;
