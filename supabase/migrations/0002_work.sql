-- The verbs that all changing functions share. Each takes and returns baton.work: the locked agent row, its run, what was written so far.
-- baton.finish is the only place that stores the two rows, and there no due agent is left without a continuation.

-- A run that was sent anew and not claimed since: how often, and from when on a sweep looks at it again. A claim begins anew. These stand here, and not with
-- the sweep: between two files of an upgrade work goes on, and what this file stores must have its columns.
alter table baton.runs add column if not exists resends integer not null default 0;
alter table baton.runs add column if not exists resend_at timestamptz;
-- The slices that have given the lease back, the last first.
alter table baton.agents add column if not exists past_slices text[] not null default '{}';

do $$ begin
  create type baton.work as (a baton.agents, r baton.runs, rows jsonb, entered_from bigint);
exception when duplicate_object then null;
end $$;
-- A limit as it applies to a run now. key null: nothing to count beside the run's own row (period run, or only a limit per call).
do $$ begin
  create type baton.budget_limit as (key text, tenant_id text, scope text, period text, limit_micros bigint, limit_tokens bigint, limit_calls bigint,
    max_per_call_micros bigint);
exception when duplicate_object then null;
end $$;
do $$ begin
  create type baton.counter_change as (key text, spent bigint, reserved bigint, tokens bigint, reserved_tokens bigint, calls bigint);
exception when duplicate_object then null;
end $$;
-- money: what budget counters must still be told (book_money). held: a reservation that they must still agree to, with the limits it is under
-- and the least it can be lowered to (close_books). refused: tool calls that a budget did not let start.
do $$ begin
  alter type baton.work add attribute money jsonb, add attribute held text, add attribute limits baton.budget_limit[], add attribute lowest jsonb,
    add attribute refused jsonb;
exception when duplicate_column then null;
end $$;

-- What somebody outside has asked of the run: read by open, claim, every commit and heartbeat.
create or replace function baton.flags(a baton.agents, r baton.runs) returns json language plpgsql stable set search_path = '' as $$
begin
  -- A kill is noted on the run by whoever meets it (meet_switch), so that it stays although the switch is lifted.
  return json_build_object('stop', r.stop_requested, 'hold', coalesce(baton.switch_mode(a, r) = 'hold', false), 'expiresInMs', baton.expires_in(a, r), 'rate', baton.rate_left(a, r));
end $$;

create or replace function baton.new_id(prefix text) returns text language plpgsql volatile set search_path = '' as $$
begin
  return prefix || '_' || replace(gen_random_uuid()::text, '-', '');
end $$;

create or replace function baton.lease_live(a baton.agents) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return a.lease_owner is not null and a.lease_until > baton.clock();
end $$;

-- The one predicate that says an agent needs an executor: commit, claim and sweep use it.
create or replace function baton.due(a baton.agents, r baton.runs) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return r.due_at is not null and r.due_at <= baton.clock() and not baton.lease_live(a);
end $$;

create or replace function baton.is_open(state text) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return state in ('queued', 'running', 'awaiting_approval', 'waiting');
end $$;

create or replace function baton.is_final_call(state text) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  return state in ('completed', 'failed', 'denied', 'sealed');
end $$;

create or replace function baton.millis(i interval) returns bigint language plpgsql immutable set search_path = '' as $$
begin
  return ceil(extract(epoch from i) * 1000)::bigint;
end $$;

create or replace function baton.duration(ms numeric) returns interval language plpgsql immutable set search_path = '' as $$
begin
  return ms::double precision * interval '1 millisecond';
end $$;

-- from is inclusive, to is not; absent ones do not filter.
create or replace function baton.within(p jsonb, at timestamptz) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return (p ->> 'from' is null or at >= (p ->> 'from')::timestamptz) and (p ->> 'to' is null or at < (p ->> 'to')::timestamptz);
end $$;

-- events: [{channel, type, step?, data}], numbered from the agent's counter.
create or replace function baton.append_events(w baton.work, events jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  n integer := coalesce(jsonb_array_length(events), 0);
begin
  if n = 0 then return w; end if;
  insert into baton.events (agent_uid, seq, tenant_id, owner_id, created_by, run_id, step, channel, type, data)
  select (w.a).agent_uid, (w.a).last_event_seq + e.ordinality, (w.a).tenant_id, (w.a).owner_id, (w.r).created_by, (w.r).run_id,
    coalesce((e.value ->> 'step')::integer, (w.r).step), e.value ->> 'channel', e.value ->> 'type', coalesce(e.value -> 'data', '{}')::json
  from jsonb_array_elements(events) with ordinality e;
  w.a.last_event_seq := (w.a).last_event_seq + n;
  return w;
end $$;

create or replace function baton.append_event(w baton.work, channel text, type text, data jsonb) returns baton.work language plpgsql set search_path = '' as $$
begin
  return baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', channel, 'type', type, 'data', data)));
end $$;

create or replace function baton.state_event(w baton.work) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('channel', 'monitor', 'type', 'state_changed', 'data', jsonb_strip_nulls(jsonb_build_object('state', (w.a).state, 'runState', (w.r).state,
    'stopReason', (w.r).stop_reason, 'waitKind', (w.r).wait_kind, 'dueAt', case when (w.r).wait_kind is not null then (w.r).due_at end)));
end $$;

create or replace function baton.state_changed(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  return baton.append_events(w, jsonb_build_array(baton.state_event(w)));
end $$;

-- messages: [{role, kind?, content, bytes, estTokens}]. They get their numbers here, when they enter the conversation.
create or replace function baton.append_messages(w baton.work, messages jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  n integer := coalesce(jsonb_array_length(messages), 0);
  tokens bigint;
begin
  if n = 0 then return w; end if;
  with entered as (insert into baton.messages (agent_uid, seq, tenant_id, owner_id, created_by, run_id, role, kind, content, bytes, est_tokens)
  select (w.a).agent_uid, (w.a).last_message_seq + m.ordinality, (w.a).tenant_id, (w.a).owner_id, (w.r).created_by, (w.r).run_id,
    m.value ->> 'role', coalesce(m.value ->> 'kind', 'message'), (m.value -> 'content')::json, (m.value ->> 'bytes')::integer, (m.value ->> 'estTokens')::integer
  from jsonb_array_elements(messages) with ordinality m returning est_tokens)
  select sum(e.est_tokens) into tokens from entered e;
  w.entered_from := coalesce(w.entered_from, (w.a).last_message_seq + 1);
  w.a.last_message_seq := (w.a).last_message_seq + n;
  w.a.window_tokens := (w.a).window_tokens + tokens;
  return w;
end $$;

create or replace function baton.call_json(c baton.tool_calls) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('callId', c.call_id, 'runId', c.run_id, 'step', c.step, 'index', c.index, 'name', c.name, 'input', c.input,
    'effect', c.effect, 'state', c.state, 'output', c.output, 'attempts', c.attempts, 'epoch', c.epoch, 'idempotencyKey', c.idempotency_key,
    'isError', c.state in ('failed', 'denied', 'sealed'), 'approval', c.approval, 'startedAt', c.started_at, 'endedAt', c.ended_at,
    'durationMs', baton.millis(c.ended_at - c.started_at), 'auditTrail', c.audit);
end $$;

-- The calls of an agent with these ids, each found by its key. Joined to the list itself, the planner reads all calls that the agent has ever had: it takes any list for a hundred.
create or replace function baton.calls_named(uid uuid, ids jsonb) returns setof baton.tool_calls language plpgsql stable rows 2 set search_path = '' as $$
begin
  return query select t.* from (select distinct x from jsonb_array_elements_text(ids) x) i
    cross join lateral (select * from baton.tool_calls x where x.agent_uid = uid and x.call_id = i.x limit 1) t order by t.step, t.index;
end $$;

-- When no call of the run is open any more, their results enter the history: one tool message a step, in call order.
create or replace function baton.enter_results(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  results json;
  pending boolean;
begin
  select json_agg(json_build_object('type', 'tool-result', 'toolCallId', c.call_id, 'toolName', c.name, 'output', c.output) order by c.step, c.index),
    bool_or(not baton.is_final_call(c.state))
  into results, pending
  from baton.tool_calls c where c.run_id = (w.r).run_id and not c.entered;
  if results is null or pending then return w; end if;
  with entered as (update baton.tool_calls c set entered = true where c.run_id = (w.r).run_id and not c.entered returning c)
  select coalesce(w.counts, '[]') || baton.call_counts(array_agg(e.c)) into w.counts from entered e;
  return baton.append_messages(w, jsonb_build_array(jsonb_build_object('role', 'tool', 'content', results::jsonb,
    'bytes', octet_length(results::text), 'estTokens', octet_length(results::text) / 3 + 1)));
end $$;

-- Gives every open call of the run its one result, so that no call dangles. A call that was started may have happened.
create or replace function baton.seal_calls(w baton.work, note text) returns baton.work language plpgsql set search_path = '' as $$
declare
  c baton.tool_calls;
  waited boolean;
begin
  if not baton.has_open_calls(w) then return w; end if;
  for c in
    select * from baton.tool_calls t where t.run_id = (w.r).run_id and not t.entered
      and not baton.is_final_call(t.state) order by t.step, t.index
  loop
    waited := c.state in ('approval_required', 'waiting_external');
    update baton.tool_calls t set state = 'sealed', ended_at = baton.clock(),
      output = json_build_object('type', 'error-text', 'value', case when c.attempts > 0
        then 'The outcome of this call is unknown: it may have happened. Check before repeating it. (' || note || ')'
        else 'This call was not executed. (' || note || ')' end),
      audit = t.audit || jsonb_build_object('at', baton.clock(), 'state', 'sealed', 'note', note)
    where t.agent_uid = c.agent_uid and t.call_id = c.call_id returning * into c;
    c := baton.shown(c);
    if waited then w := baton.cancel_wait(w, c, note); end if;
    w := baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', 'progress', 'type', 'tool_end', 'step', c.step,
      'data', jsonb_build_object('call', baton.call_json(c)))));
  end loop;
  return baton.enter_results(w);
end $$;

create or replace function baton.has_open_calls(w baton.work) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return exists (select from baton.tool_calls c where c.run_id = (w.r).run_id and not c.entered);
end $$;

-- The run that steered messages come to: another than they found at work where that one ended before they could enter. Repeats under their keys and
-- ids find this one from now on.
create or replace function baton.steered_into(w baton.work, messages text[], run text) returns void language plpgsql set search_path = '' as $$
begin
  with steered as (update baton.idempotency i set run_id = run
    where i.tenant_id = (w.a).tenant_id and i.caller = 'baton:steered' and i.key = any (messages) and i.run_id <> run returning nullif(i.hash, '')::jsonb as own)
  update baton.idempotency i set run_id = run from steered s where i.tenant_id = (w.a).tenant_id and i.caller = s.own ->> 0 and i.key = s.own ->> 1;
end $$;

-- Steered messages enter the conversation; the caller has made sure that no call is open.
create or replace function baton.take_steered(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  m baton.inbox;
begin
  if (w.a).queued = 0 then return w; end if;
  for m in with taken as (delete from baton.inbox i where i.agent_uid = (w.a).agent_uid and i.mode = 'steer' returning *)
    select * from taken order by position
  loop
    w := baton.append_messages(w, jsonb_build_array(jsonb_build_object('role', 'user', 'kind', m.kind, 'content', m.content::jsonb,
      'bytes', m.bytes, 'estTokens', m.est_tokens)));
    perform baton.steered_into(w, array[m.run_id], (w.r).run_id);
    w.a.queued := (w.a).queued - 1;
    w := baton.append_event(w, 'monitor', 'message_entered', jsonb_build_object('messageSeq', (w.a).last_message_seq, 'mode', 'steer'));
  end loop;
  return w;
end $$;

create or replace function baton.write_outbox(w baton.work, kind text, due timestamptz, data jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  row_id text := baton.new_id('out');
begin
  insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at)
  values (row_id, (w.a).tenant_id, (w.a).environment, kind, (w.a).agent_uid, data, due);
  w.rows := coalesce(w.rows, '[]') || jsonb_build_object('id', row_id, 'kind', kind, 'data', data,
    'dueInMs', greatest(0, baton.millis(due - baton.clock())));
  return w;
end $$;

create or replace function baton.write_continue(w baton.work, run_id text, due timestamptz) returns baton.work language plpgsql set search_path = '' as $$
begin
  w.a.continued_at := greatest(due, baton.clock());
  -- A new one: the sweep counts from here.
  w.r.resends := 0;
  w.r.resend_at := null;
  return baton.write_outbox(w, 'continue', due, jsonb_build_object('tenantId', (w.a).tenant_id, 'agentUid', (w.a).agent_uid,
    'runId', run_id, 'epoch', (w.a).lease_epoch));
end $$;

create or replace function baton.release(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  -- Known for a while: a claim of that slice which comes late gives nothing to nobody.
  if (w.a).lease_owner is not null then w.a.past_slices := ((w.a).lease_owner || (w.a).past_slices)[1:8]; end if;
  w.a.lease_owner := null;
  w.a.lease_until := null;
  return w;
end $$;

-- The rows of both tables as the work left them, then the counters of budgets.
create or replace function baton.finish(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  w := baton.save_work(w);
  return case when w.money is null then w else baton.book_money(w) end;
end $$;

-- The rows of both tables as the work left them. A due run without a live lease gets its continuation here, in the same transaction:
-- also one whose executor has died, so that the next message resumes it and need not wait for the sweeper.
create or replace function baton.save_work(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  if (w.a).active_run = (w.r).run_id and (w.r).due_at is not null and not baton.lease_live(w.a) then
    w := baton.write_continue(w, (w.r).run_id, (w.r).due_at);
  end if;
  if w.counts <> '[]' then
    insert into baton.metric_deltas (environment, counts) values ((w.a).environment, w.counts);
    w.counts := null;
  end if;
  w.r := baton.save_run(w.r);
  update baton.agents a set (template, settings, metadata, overrides, webhook, state, active_run, queued, version, last_event_seq, last_message_seq,
    last_inbox, window_from, window_tokens, steps, lease_owner, lease_epoch, lease_until, past_slices, last_commit, last_answer, continued_at, updated_at)
  = ((w.a).template, (w.a).settings, (w.a).metadata, (w.a).overrides, (w.a).webhook, (w.a).state, (w.a).active_run, (w.a).queued, (w.a).version,
    (w.a).last_event_seq, (w.a).last_message_seq, (w.a).last_inbox, (w.a).window_from, (w.a).window_tokens, (w.a).steps, (w.a).lease_owner,
    (w.a).lease_epoch, (w.a).lease_until, (w.a).past_slices, (w.a).last_commit, (w.a).last_answer, (w.a).continued_at, baton.clock())
  where a.agent_uid = (w.a).agent_uid;
  return w;
end $$;

drop function if exists baton.save_run(baton.runs);
create or replace function baton.save_run(r baton.runs) returns baton.runs language plpgsql set search_path = '' as $$
begin
  r.updated_at := baton.clock();
  update baton.runs t set (state, stop_reason, opening_seq, first_event_seq, wait_kind, due_at, step, model_calls, tool_calls, attempt, crashes, cuts, empty_answers,
    window_retries, model_index, slices, work_ms, usage, cost_micros, reserved_micros, stop_requested, stop_note, template_opened, template_last,
    output, error, started_at, ended_at, resends, resend_at, updated_at)
  = (r.state, r.stop_reason, r.opening_seq, r.first_event_seq, r.wait_kind, r.due_at, r.step, r.model_calls, r.tool_calls, r.attempt, r.crashes, r.cuts, r.empty_answers,
    r.window_retries, r.model_index, r.slices, r.work_ms, r.usage, r.cost_micros, r.reserved_micros, r.stop_requested, r.stop_note,
    r.template_opened, r.template_last, r.output, r.error, r.started_at, r.ended_at, r.resends, r.resend_at, r.updated_at)
  where t.run_id = r.run_id;
  return r;
end $$;
