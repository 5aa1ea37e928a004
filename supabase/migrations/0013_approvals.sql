-- Approvals and calls that the outside answers: what waits for somebody, how it is decided, and what becomes of it when nobody does.

-- Tools that a person has allowed for this agent for good: they lift an ask, never a deny.
alter table baton.agents add column if not exists always_allowed jsonb not null default '[]';
-- Of an approved call: who allowed it and what exactly, {id, by, inputHash, fingerprint}; looked at again before it runs.
alter table baton.tool_calls add column if not exists approval jsonb;

create table if not exists baton.approvals (
  id text primary key,
  tenant_id text not null,
  environment text not null,
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  owner_id uuid,
  run_id text not null,
  call_id text not null,
  kind text not null default 'permission' check (kind in ('permission', 'unknown_outcome')),
  tool text not null,
  input json,
  input_hash text not null,
  fingerprint text not null,
  reason text,
  state text not null default 'pending' check (state in ('pending', 'allowed', 'denied', 'expired', 'cancelled')),
  decided_by text,
  decided_at timestamptz,
  note text,
  edited_input json,
  decided_hash text,
  expires_at timestamptz not null,
  default_decision text not null check (default_decision in ('allow', 'deny')),
  created_at timestamptz not null default baton.clock()
);
create index if not exists approvals_of_tenant on baton.approvals (tenant_id, id);
create index if not exists approvals_pending on baton.approvals (tenant_id, id) where state = 'pending';
create index if not exists approvals_due on baton.approvals (environment, expires_at) where state = 'pending';
create index if not exists approvals_of_run on baton.approvals (agent_uid, run_id, call_id);
create index if not exists approvals_age on baton.approvals using brin (created_at);

-- Calls whose result comes from outside. A table of its own: an index on the state of tool calls would make each of their updates dear.
create table if not exists baton.external_waits (
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  call_id text not null,
  environment text not null,
  expires_at timestamptz not null,
  primary key (agent_uid, call_id)
);
create index if not exists external_waits_due on baton.external_waits (environment, expires_at);

-- An approval as callers see it.
create or replace function baton.approval_json(v baton.approvals, a baton.agents) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('id', v.id, 'state', v.state, 'kind', v.kind, 'agentId', a.id, 'agentUid', v.agent_uid, 'template', a.template, 'userId', v.owner_id,
    'runId', v.run_id, 'callId', v.call_id, 'tool', v.tool, 'input', v.input, 'editedInput', v.edited_input, 'fingerprint', v.fingerprint, 'reason', v.reason,
    'defaultDecision', v.default_decision, 'expiresAt', v.expires_at, 'decidedBy', v.decided_by, 'decidedAt', v.decided_at, 'note', v.note, 'createdAt', v.created_at);
end $$;

-- What of a run waits for somebody: {approvals: [...], externalCalls: [...]}, in the words of the paused answer. shown: the copy for those
-- who only watch, without the secrets that an input may hold.
drop function if exists baton.waits_json(uuid, text);
create or replace function baton.waits_json(uid uuid, run text, shown boolean default false) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'approvals', (select coalesce(jsonb_agg(jsonb_build_object('id', v.id, 'callId', v.call_id, 'tool', v.tool, 'input', coalesce(case when shown then c.shown_input end, v.input, 'null'),
      'kind', v.kind, 'reason', v.reason, 'expiresAt', v.expires_at) order by v.id), '[]')
      from baton.approvals v join baton.tool_calls c using (agent_uid, call_id) where agent_uid = uid and v.run_id = run and v.state = 'pending'),
    'externalCalls', (select coalesce(jsonb_agg(jsonb_build_object('callId', c.call_id, 'tool', c.name, 'input', coalesce(case when shown then c.shown_input end, c.input, 'null'),
      'expiresAt', x.expires_at) order by c.step, c.index), '[]')
      from baton.external_waits x join baton.tool_calls c using (agent_uid, call_id) where x.agent_uid = uid and c.run_id = run));
end $$;

-- The same of the run at the agent's head, for who waits behind it or is refused for it. A reader who may not be told of that run learns which tools
-- wait, and nothing of what they were given.
create or replace function baton.head_waits(a baton.agents, reader text) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  waits jsonb := baton.waits_json(a.agent_uid, a.active_run);
begin
  if reader is null or (select baton.told_of(reader, r) from baton.runs r where r.run_id = a.active_run) then return waits; end if;
  return (
    select jsonb_object_agg(k.key, (select coalesce(jsonb_agg(e.value || '{"input": null}' || case when e.value ? 'reason' then '{"reason": null}' else '{}' end::jsonb
    order by e.ordinality), '[]') from jsonb_array_elements(k.value) with ordinality e)) from jsonb_each(waits) k);
end $$;

-- Records what the rules said against a call: the approvals that ask for a decision, and the denials. calls as for write_calls, those
-- to decide with {approval: {id, kind, reason, inputHash, fingerprint, expiresMs, defaultDecision}}. Nobody is asked for longer than the
-- authority of the run lasts: then the sweep finds it, and its next executor ends it.
create or replace function baton.guard_calls(w baton.work, calls jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c jsonb;
  g jsonb;
  until timestamptz;
begin
  for c in select e from jsonb_array_elements(coalesce(calls, '[]')) e where e ->> 'state' in ('approval_required', 'denied') and not e ? 'hook' loop
    g := c -> 'approval';
    if g is null then
      perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'refused', 'code', 'denied', 'reason', c ->> 'note',
        'callId', c ->> 'callId', 'scope', 'tool:' || (c ->> 'name')));
      continue;
    end if;
    until := least(baton.clock() + baton.duration((g ->> 'expiresMs')::numeric), (w.a).expires_at, (w.r).expires_at);
    insert into baton.approvals (id, tenant_id, environment, agent_uid, owner_id, run_id, call_id, kind, tool, input, input_hash, fingerprint, reason, expires_at, default_decision)
    values (g ->> 'id', (w.a).tenant_id, (w.a).environment, (w.a).agent_uid, (w.a).owner_id, (w.r).run_id, c ->> 'callId', g ->> 'kind', c ->> 'name',
      (c -> 'input')::json, g ->> 'inputHash', g ->> 'fingerprint', left(g ->> 'reason', 500), until, g ->> 'defaultDecision')
    on conflict (id) do nothing;
    w := baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', 'control', 'type', 'approval_required', 'step', c -> 'step',
      'data', jsonb_build_object('approvalId', g -> 'id', 'callId', c -> 'callId', 'tool', c -> 'name', 'input', coalesce(c -> 'shownInput', c -> 'input'), 'kind', g -> 'kind',
        'reason', g -> 'reason', 'expiresAt', until))));
    perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'recorded', 'code', 'approval_required', 'reason', g ->> 'reason',
      'callId', c ->> 'callId', 'scope', 'tool:' || (c ->> 'name'), 'data', jsonb_build_object('approvalId', g -> 'id')));
  end loop;
  return w;
end $$;

-- A call that begins outside: it waits there until its time is over, or the authority of its run.
create or replace function baton.await_external(w baton.work, call text, ms numeric) returns void language plpgsql set search_path = '' as $$
begin
  insert into baton.external_waits (agent_uid, call_id, environment, expires_at)
  values ((w.a).agent_uid, call, (w.a).environment, least(baton.clock() + baton.duration(coalesce(ms, 86400000)), (w.a).expires_at, (w.r).expires_at)) on conflict do nothing;
end $$;

-- What the open calls of the run wait for: 'approvals', 'external', or null when an executor can go on. A run that is paused goes on
-- only when nothing is left to decide; one that is at work goes on while anything can run.
create or replace function baton.waits_for(w baton.work, working boolean) returns text language plpgsql stable set search_path = '' as $$
declare
  undecided boolean;
  outside boolean;
  ready boolean;
begin
  select bool_or(c.state = 'approval_required'), bool_or(c.state = 'waiting_external'), bool_or(c.state in ('pending', 'approved', 'executing'))
  into undecided, outside, ready
  from baton.tool_calls c where c.run_id = (w.r).run_id and not c.entered;
  if ready and (working or not undecided) then return null; end if;
  return case when undecided then 'approvals' when outside then 'external' end;
end $$;

-- Nobody runs from here on: no lease, nothing due, no continuation.
create or replace function baton.pause_run(w baton.work, kind text) returns baton.work language plpgsql set search_path = '' as $$
begin
  w.r.state := case when kind = 'approvals' then 'awaiting_approval' else 'waiting' end;
  w.r.wait_kind := case when kind = 'external' then 'external' end;
  w.r.due_at := null;
  w.a.state := 'paused';
  w := baton.state_changed(baton.release(w));
  return baton.write_webhook(w, 'run.awaiting_approval', jsonb_build_object('waitsFor', kind) || baton.waits_json((w.a).agent_uid, (w.r).run_id, true));
end $$;

-- After a decision or a result: a paused run goes on when nothing is left that somebody must decide. An executor that holds the lease
-- learns of it by its next commit; a run that is due anyway enters its results when it is claimed.
create or replace function baton.go_on(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  kind text;
begin
  if baton.lease_live(w.a) or not ((w.r).state = 'awaiting_approval' or (w.r).wait_kind is not distinct from 'external') then return w; end if;
  w := baton.enter_results(w);
  kind := baton.waits_for(w, false);
  if kind = 'approvals' or kind = 'external' and (w.r).state = 'waiting' then return w; end if;
  if kind = 'external' then
    w.r.state := 'waiting';
    w.r.wait_kind := 'external';
  else
    w.r.state := 'running';
    w.r.wait_kind := null;
    w.r.due_at := baton.clock();
    w.a.state := 'working';
  end if;
  return baton.state_changed(w);
end $$;

-- Applies a decision to its approval and its call. The caller holds the agent's lock and stores the work.
-- d: {decision, state, by, note?, input?, inputHash?, fingerprint?, requestId?}
create or replace function baton.apply_decision(w baton.work, v baton.approvals, d jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  allowed boolean := d ->> 'decision' = 'allow';
  sealed boolean := v.kind = 'unknown_outcome' and not allowed;
  call_state text := case when allowed then 'approved' when sealed then 'sealed' else 'denied' end;
  edited jsonb := case when allowed then d -> 'input' end;
begin
  update baton.approvals x set state = d ->> 'state', decided_by = d ->> 'by', decided_at = baton.clock(), note = d ->> 'note', edited_input = edited::json,
    decided_hash = d ->> 'inputHash' where x.id = v.id;
  update baton.tool_calls t set state = call_state, input = coalesce(edited::json, t.input),
    shown_input = case when edited is null then t.shown_input else (d -> 'shownInput')::json end,
    approval = case when allowed then jsonb_build_object('id', v.id, 'by', d -> 'by', 'inputHash', coalesce(d ->> 'inputHash', v.input_hash),
      'fingerprint', coalesce(d ->> 'fingerprint', v.fingerprint)) end,
    ended_at = case when not allowed then baton.clock() end,
    output = case when sealed then json_build_object('type', 'error-text', 'value',
        'The outcome of this call is unknown: it may have happened, and ' || case when d ->> 'state' = 'expired' then 'nobody said whether to repeat it.'
          else 'a person has decided not to repeat it.' end || ' Check before you go on.')
      when not allowed then json_build_object('type', 'error-json', 'value', json_strip_nulls(json_build_object('ok', false, 'errorType', 'denied',
        'message', case when d ->> 'state' = 'expired' then 'Nobody allowed this call in time; it was not executed.' else 'A person has refused this call; it was not executed.' end,
        'note', d ->> 'note', 'retryable', false, 'advice', 'Do not repeat the call. Go on without it, or say what you need it for.'))) end,
    audit = t.audit || jsonb_strip_nulls(jsonb_build_object('at', baton.clock(), 'state', call_state, 'by', d ->> 'by', 'note', d ->> 'note', 'approvalId', v.id))
  where t.agent_uid = v.agent_uid and t.call_id = v.call_id;
  w := baton.append_event(w, 'control', 'approval_decided', jsonb_build_object('approvalId', v.id, 'callId', v.call_id, 'tool', v.tool, 'decision', d -> 'decision',
    'state', d -> 'state', 'decidedBy', d -> 'by', 'note', d -> 'note', 'edited', edited is not null));
  if not allowed then w := baton.ended_calls_events(w, jsonb_build_array(jsonb_build_object('callId', v.call_id))); end if;
  perform baton.audit_run(w, jsonb_build_object('action', 'approval.decide', 'decision', 'recorded', 'code', d ->> 'decision', 'reason', d ->> 'note', 'actor', d ->> 'by',
    'callId', v.call_id, 'scope', 'tool:' || v.tool, 'requestId', d ->> 'requestId', 'data', jsonb_build_object('approvalId', v.id, 'state', d -> 'state', 'edited', edited is not null)));
  return w;
end $$;

-- Nobody decided in time: the default of the template does.
create or replace function baton.expire_approval(w baton.work, v baton.approvals) returns baton.work language plpgsql set search_path = '' as $$
begin
  return baton.go_on(baton.apply_decision(w, v, jsonb_build_object('decision', v.default_decision, 'state', 'expired', 'by', 'system',
    'note', 'Nobody decided before ' || to_char(v.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '.')));
end $$;

-- The one result of a call that waits outside. The caller holds the agent's lock and stores the work.
create or replace function baton.end_external(w baton.work, call text, call_state text, result json, note text, shown json) returns baton.work language plpgsql set search_path = '' as $$
begin
  update baton.tool_calls t set state = call_state, output = result, shown_output = shown, ended_at = baton.clock(),
    audit = t.audit || jsonb_strip_nulls(jsonb_build_object('at', baton.clock(), 'state', call_state, 'note', note))
  where t.agent_uid = (w.a).agent_uid and t.call_id = call;
  delete from baton.external_waits x where x.agent_uid = (w.a).agent_uid and x.call_id = call;
  return baton.go_on(baton.ended_calls_events(w, jsonb_build_array(jsonb_build_object('callId', call))));
end $$;

create or replace function baton.expire_external(w baton.work, call text) returns baton.work language plpgsql set search_path = '' as $$
begin
  return baton.end_external(w, call, 'failed', json_build_object('type', 'error-json', 'value', json_build_object('ok', false, 'errorType', 'expired',
    'message', 'Nobody answered this call in time. It may have happened outside: check before repeating it.', 'retryable', false)), 'expired', null);
end $$;

-- A run that ends leaves nothing to decide: called for each open call that it seals.
create or replace function baton.cancel_wait(w baton.work, c baton.tool_calls, note text) returns baton.work language plpgsql set search_path = '' as $$
declare
  v baton.approvals;
begin
  delete from baton.external_waits x where x.agent_uid = c.agent_uid and x.call_id = c.call_id;
  update baton.approvals x set state = 'cancelled', decided_at = baton.clock(), note = cancel_wait.note
  where x.agent_uid = c.agent_uid and x.run_id = c.run_id and x.call_id = c.call_id and x.state = 'pending' returning * into v;
  if not found then return w; end if;
  return baton.append_event(w, 'control', 'approval_decided', jsonb_build_object('approvalId', v.id, 'callId', v.call_id, 'tool', v.tool, 'decision', null,
    'state', 'cancelled', 'decidedBy', null, 'note', note));
end $$;

-- Approvals and outside calls whose time is over, agent by agent; who is busy is left for the next sweep. worked: how many of them had an end.
drop function if exists baton.sweep_waits(text, integer);
create or replace function baton.sweep_waits(env text, most integer, out rows jsonb, out worked integer) language plpgsql set search_path = '' as $$
declare
  w baton.work;
  x record;
  v baton.approvals;
  now_at timestamptz := baton.clock();
begin
  rows := '[]';
  worked := 0;
  for x in (select s.agent_uid, s.id as approval, null as call from baton.approvals s where s.environment = env and s.state = 'pending' and s.expires_at <= now_at
      order by s.expires_at limit most)
    union all
    (select e.agent_uid, null, e.call_id from baton.external_waits e where e.environment = env and e.expires_at <= now_at order by e.expires_at limit most)
  loop
    select a into w.a from baton.agents a where a.agent_uid = x.agent_uid for update skip locked;
    if not found then continue; end if;
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    w.rows := null;
    if x.approval is not null then
      select * into v from baton.approvals s where s.id = x.approval and s.state = 'pending';
      if not found then continue; end if;
      w := baton.finish(baton.expire_approval(w, v));
    else
      if not exists (select from baton.external_waits e where e.agent_uid = x.agent_uid and e.call_id = x.call) then continue; end if;
      w := baton.finish(baton.expire_external(w, x.call));
    end if;
    rows := rows || coalesce(w.rows, '[]');
    worked := worked + 1;
  end loop;
end $$;
