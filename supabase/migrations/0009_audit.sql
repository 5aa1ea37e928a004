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
-- The same decision asked for again, because its answer was lost, is one entry.
alter table baton.audit add column if not exists repeat_key text;
drop index if exists baton.audit_of_tenant;
drop index if exists baton.audit_of_agent;
create index if not exists audit_by_time on baton.audit (tenant_id, environment, at, id);
create index if not exists audit_by_agent on baton.audit (tenant_id, agent_id, at, id) where agent_id is not null;
create index if not exists audit_by_run on baton.audit (run_id) where run_id is not null;
create unique index if not exists audit_once on baton.audit (repeat_key) where repeat_key is not null;
create index if not exists audit_age on baton.audit using brin (at);

-- What a call shows in events, where its exact record holds a secret (docs/decisions/0012).
alter table baton.tool_calls add column if not exists shown_input json;
alter table baton.tool_calls add column if not exists shown_output json;

create or replace function baton.shown(c baton.tool_calls) returns baton.tool_calls language plpgsql immutable set search_path = '' as $$
begin
  c.input := coalesce(c.shown_input, c.input);
  c.output := coalesce(c.shown_output, c.output);
  return c;
end $$;

-- Entries that could not be written: counted, for they stop nobody.
create table if not exists baton.audit_failures (
  environment text primary key,
  failures bigint not null default 0,
  last_at timestamptz,
  last_error text
);

-- {tenant, environment, actor, action, decision, code?, reason?, scope?, agentUid?, agentId?, runId?, callId?, estimateMicros?, costMicros?, totalMicros?,
-- requestId?, traceId?, data?, repeatKey?} A failing entry never stops what it tells of; it is counted. True where it stands.
drop function if exists baton.write_audit(jsonb);
create or replace function baton.write_audit(e jsonb) returns boolean language plpgsql set search_path = '' as $$
begin
  insert into baton.audit (tenant_id, environment, actor, action, decision, code, reason, scope, agent_uid, agent_id, run_id, call_id, estimate_micros, cost_micros,
    total_micros, request_id, trace_id, data, repeat_key)
  values (e ->> 'tenant', e ->> 'environment', coalesce(e ->> 'actor', 'system'), e ->> 'action', e ->> 'decision', e ->> 'code', left(e ->> 'reason', 500), e ->> 'scope',
    (e ->> 'agentUid')::uuid, e ->> 'agentId', e ->> 'runId', e ->> 'callId', (e ->> 'estimateMicros')::bigint, (e ->> 'costMicros')::bigint,
    (e ->> 'totalMicros')::bigint, e ->> 'requestId', e ->> 'traceId', nullif(nullif(e -> 'data', 'null'), '{}'), e ->> 'repeatKey')
  on conflict do nothing;
  return true;
exception when others then
  insert into baton.audit_failures as f (environment, failures, last_at, last_error) values (coalesce(e ->> 'environment', ''), 1, baton.clock(), sqlerrm)
  on conflict (environment) do update set failures = f.failures + 1, last_at = excluded.last_at, last_error = excluded.last_error;
  return false;
end $$;

-- An entry about a run, with what its rows say of it; e adds action, decision and the rest, and may name another actor.
create or replace function baton.audit_run(w baton.work, e jsonb) returns void language plpgsql set search_path = '' as $$
begin
  perform baton.write_audit(jsonb_build_object('tenant', (w.a).tenant_id, 'environment', (w.a).environment, 'actor', coalesce((w.r).created_by, (w.a).created_by),
    'agentUid', (w.a).agent_uid, 'agentId', (w.a).id, 'runId', (w.r).run_id, 'traceId', substr((w.r).traceparent, 4, 32)) || e);
end $$;

-- An entry about what a caller asked for; p is an authorized request (see authorize).
drop function if exists baton.audit_request(jsonb, jsonb);
create or replace function baton.audit_request(p jsonb, e jsonb) returns boolean language plpgsql set search_path = '' as $$
begin
  return baton.write_audit(jsonb_build_object('tenant', p ->> 'tenant', 'environment', p ->> 'environment', 'actor', p ->> 'caller', 'requestId', p ->> 'requestId') || e);
end $$;

-- A refusal that a caller may repeat as often as it likes: the first of a caller, action and reason is told at once, those of the next minute together
-- with the first one after it, as `count`; where none comes, by retention (tell_refusals). Each would be kept for 400 days.
-- chosen: here the count and the last entry that was not written; elsewhere what a bulk retry has chosen, for a repeat under the same key.
alter table baton.idempotency add column if not exists chosen jsonb;
create index if not exists idempotency_refused on baton.idempotency (hash, created_at) where caller = 'baton:refused';

create or replace function baton.audit_refused(p jsonb, e jsonb) returns void language plpgsql set search_path = '' as $$
declare
  what text := concat_ws(' ', p ->> 'caller', e ->> 'action', e ->> 'reason', e -> 'data' ->> 'needed');
  before integer := 0;
  at_now timestamptz := baton.clock();
begin
  insert into baton.idempotency (tenant_id, caller, key, hash, created_at) values (p ->> 'tenant', 'baton:refused', what, p ->> 'environment', at_now)
  on conflict do nothing;
  if not found then
    update baton.idempotency i set chosen = jsonb_build_object('count', coalesce((i.chosen ->> 'count')::integer, 0) + 1, 'entry', e || jsonb_build_object('actor', p ->> 'caller'))
    where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:refused' and i.key = what and i.created_at > at_now - interval '1 minute';
    if found then return; end if;
    select (i.chosen ->> 'count')::integer into before from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:refused' and i.key = what for update;
    update baton.idempotency i set created_at = at_now, chosen = null where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:refused' and i.key = what;
  end if;
  perform baton.audit_request(p, baton.counted(e, coalesce(before, 0) + 1));
end $$;

create or replace function baton.counted(e jsonb, refusals integer, since timestamptz default null) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return e || jsonb_build_object('data', coalesce(nullif(e -> 'data', 'null'), '{}') || jsonb_strip_nulls(jsonb_build_object('count', refusals, 'since', since)));
end $$;

-- The end of what was refused again and again: an entry for what was counted and no later refusal has told. The row stays for its time, with nothing to tell.
create or replace function baton.tell_refusals(env text, most integer) returns void language plpgsql set search_path = '' as $$
declare
  i baton.idempotency;
  minute_ago timestamptz := baton.clock() - interval '1 minute';
begin
  for i in select * from baton.idempotency x where x.caller = 'baton:refused' and x.hash = env and x.created_at < minute_ago and x.chosen ? 'entry'
    order by x.created_at limit most for update skip locked
  loop
    perform baton.write_audit(jsonb_build_object('tenant', i.tenant_id, 'environment', env) || baton.counted(i.chosen -> 'entry', (i.chosen ->> 'count')::integer, i.created_at));
    update baton.idempotency x set chosen = null where (x.tenant_id, x.caller, x.key) = (i.tenant_id, i.caller, i.key);
  end loop;
end $$;

-- The entry of a verb that callers reach, written by its wrapper (0030) in the same transaction: what was asked, by whom, and what became of it.
-- Other verbs write theirs themselves. Answers that make the caller's process ask again at once with more are no decisions.
drop function if exists baton.audit_answer(text, jsonb, json);
create or replace function baton.audit_answer(verb text, p jsonb, answer json) returns boolean language plpgsql set search_path = '' as $$
declare
  action text := case verb when 'open' then 'message.accept' when 'create_agent' then 'agent.create' when 'patch_agent' then 'agent.patch'
    when 'delete_agent' then 'agent.delete' when 'retry' then 'run.retry'
    when 'stop' then case p ->> 'kind' when 'interrupted' then 'run.interrupt' else 'run.cancel' end end;
  -- An accepted message answers with its window, up to 1 MB, which nobody parses for this: json_build_object writes ok first.
  granted boolean;
  entry jsonb;
begin
  if action is null then return false; end if;
  granted := answer::text like '{"ok" : true%';
  entry := jsonb_build_object('action', action, 'decision', case when granted then 'allowed' else 'refused' end,
    'agentId', coalesce(p -> 'agent' ->> 'name', p ->> 'agent'), 'runId', p ->> 'runId', 'reason', p ->> 'note', 'traceId', substr(p -> 'run' ->> 'traceparent', 4, 32));
  if not granted then
    if answer ->> 'code' in ('template_changed', 'tenant_missing') then return false; end if;
    return baton.audit_request(p, entry || jsonb_build_object('code', answer ->> 'code', 'repeatKey', action || ' ' || (p -> 'run' ->> 'id') || ' ' || (answer ->> 'code'),
      'scope', answer ->> 'scope', 'estimateMicros', answer -> 'estimateMicros', 'data', answer::jsonb - array['ok', 'code', 'scope', 'limits', 'settings', 'outbox']));
  elsif verb = 'open' then
    return baton.audit_accepted(p, entry);
  elsif verb = 'create_agent' and not (answer ->> 'created')::boolean or verb = 'retry' and (answer ->> 'replayed')::boolean then
    return false; -- It was there already: nothing has been decided.
  else
    return baton.audit_request(p, entry || jsonb_strip_nulls(jsonb_build_object(
      'agentUid', coalesce(answer -> 'agent' ->> 'agentUid', answer ->> 'agentUid'), 'agentId', coalesce(answer -> 'run' ->> 'agentId', entry ->> 'agentId'),
      'runId', coalesce(answer -> 'run' ->> 'id', entry ->> 'runId'),
      'traceId', (select substr(r.traceparent, 4, 32) from baton.runs r where r.run_id = answer -> 'run' ->> 'id'), 'data', case verb
        when 'create_agent' then jsonb_build_object('template', answer -> 'agent' ->> 'template')
        when 'patch_agent' then jsonb_build_object('changed', (select jsonb_agg(k) from unnest(array['metadata', 'webhook', 'alwaysAllowed', 'overrides']) k where p ? k))
        when 'stop' then jsonb_build_object('state', answer -> 'run' ->> 'state')
        when 'retry' then jsonb_build_object('retryOf', p ->> 'runId') end)));
  end if;
end $$;

-- An accepted message by the id its run was to get; a steered one has entered the run that it found. No row of that id: the key of an
-- earlier request was repeated, and nothing was accepted.
drop function if exists baton.audit_accepted(jsonb, jsonb);
create or replace function baton.audit_accepted(p jsonb, entry jsonb) returns boolean language plpgsql set search_path = '' as $$
declare
  asked text := p -> 'run' ->> 'id';
  r record;
begin
  select x.agent_uid, x.run_id, x.state, null::text as mode into r from baton.runs x where x.run_id = asked;
  if not found then
    select i.agent_uid, i.run_id, null::text as state, 'steer' as mode into r from baton.idempotency i
    where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:steered' and i.key = asked;
    if not found then return false; end if;
  end if;
  return baton.audit_request(p, entry || jsonb_build_object('agentUid', r.agent_uid, 'runId', r.run_id, 'repeatKey', 'message.accept ' || asked,
    'data', jsonb_strip_nulls(jsonb_build_object('state', r.state, 'mode', r.mode))));
end $$;

-- Append-only whoever asks, the owner of the table too: an entry goes when it is past its time and not before, and never changes, but that its free
-- text may be taken away once the agent, or the tenant, that it is about is deleted.
create or replace function baton.audit_time() returns interval language plpgsql immutable set search_path = '' as $$
begin
  return interval '400 days';
end $$;

create or replace function baton.keep_audit() returns trigger language plpgsql set search_path = '' as $$
declare
  bare baton.audit;
begin
  if tg_op = 'DELETE' then
    if old.at < baton.clock() - baton.audit_time() then return old; end if;
  elsif tg_op = 'UPDATE' then
    bare := old;
    bare.reason := null;
    bare.data := null;
    if new is not distinct from bare
      and (exists (select from baton.tenants t where t.id = old.tenant_id and t.erasing) or old.agent_id is not null and not exists (select from baton.agents a
        where a.agent_uid = old.agent_uid or old.agent_uid is null and a.tenant_id = old.tenant_id and a.id = old.agent_id)) then
      return new;
    end if;
  end if;
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
create or replace trigger audit_is_kept before update or delete on baton.audit for each row execute function baton.keep_audit();
create or replace trigger audit_is_not_emptied before truncate on baton.audit for each statement execute function baton.keep_audit();

create or replace function baton.prune_audit(env text, most integer) returns integer language plpgsql set search_path = '' as $$
declare
  gone integer;
  oldest timestamptz := baton.clock() - baton.audit_time();
begin
  delete from baton.audit d where d.ctid = any (array(select e.ctid from baton.audit e where e.environment = env and e.at < oldest limit most));
  get diagnostics gone = row_count;
  return gone;
end $$;

create or replace function baton.audit_json(e baton.audit) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('id', e.id, 'at', e.at, 'actor', e.actor, 'action', e.action, 'decision', e.decision, 'code', e.code, 'reason', e.reason,
    'scope', e.scope, 'agentId', e.agent_id, 'agentUid', e.agent_uid, 'runId', e.run_id, 'callId', e.call_id, 'estimateMicros', e.estimate_micros,
    'costMicros', e.cost_micros, 'totalMicros', e.total_micros, 'requestId', e.request_id, 'traceId', e.trace_id, 'data', e.data);
end $$;

-- {limit, order, after?: {at, id}, agent?, runId?, actor?, action?, decision?, scope?, from?, to?} In the order of time; the cursor is the last row's
-- instant and number. Direction and comparison are literals of this file.
create or replace function baton.list_audit(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  falling boolean := coalesce(p ->> 'order', 'desc') = 'desc';
  page json;
begin
  execute format($q$
    select json_agg(baton.audit_json(x.e) order by (x.e).at %2$s, (x.e).id %2$s) from (
      select e from baton.audit e where e.tenant_id = $1 ->> 'tenant' and e.environment = $1 ->> 'environment'
        and ($1 -> 'after' ->> 'id' is null or (e.at, e.id) %1$s (($1 -> 'after' ->> 'at')::timestamptz, ($1 -> 'after' ->> 'id')::bigint))
        and ($1 ->> 'agent' is null or e.agent_id = $1 ->> 'agent') and ($1 ->> 'runId' is null or e.run_id = $1 ->> 'runId')
        and ($1 ->> 'actor' is null or e.actor = $1 ->> 'actor') and ($1 ->> 'action' is null or e.action = $1 ->> 'action')
        and ($1 ->> 'decision' is null or e.decision = $1 ->> 'decision') and ($1 ->> 'scope' is null or e.scope = $1 ->> 'scope')
        and ($1 ->> 'from' is null or e.at >= ($1 ->> 'from')::timestamptz) and ($1 ->> 'to' is null or e.at < ($1 ->> 'to')::timestamptz)
      order by e.at %2$s, e.id %2$s limit ($1 ->> 'limit')::integer) x
    $q$, case when falling then '<' else '>' end, case when falling then 'desc' else 'asc' end) into page using p;
  return json_build_object('ok', true, 'data', coalesce(page, '[]'));
end $$;

-- The scopes that apply to a run, one grammar for budgets, kills, limits and audit (3-http-api): tool:NAME is added where a tool is meant.
create or replace function baton.scopes_of(a baton.agents, r baton.runs) returns text[] language plpgsql stable set search_path = '' as $$
begin
  return array_remove(array['global', 'tenant', 'user:' || coalesce(r.owner_id, a.owner_id), case when r.created_by like 'key:%' then r.created_by end,
    'agent:' || a.id, 'run:' || r.run_id], null);
end $$;
