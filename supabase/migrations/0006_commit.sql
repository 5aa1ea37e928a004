-- commit: one transaction for a step: messages, calls, events, usage, run state, outbox; or nothing.
-- `happened` is stored whatever has been asked of the run; what was intended is dropped when somebody has asked it to stop.

-- calls: [{callId, step, index, name, input, effect, idempotencyKey, state, output?, note?, startedAt?, shownInput?, shownOutput?}]: new ones and outcomes.
create or replace function baton.write_calls(w baton.work, calls jsonb) returns void language plpgsql set search_path = '' as $$
begin
  insert into baton.tool_calls as t (agent_uid, call_id, tenant_id, owner_id, created_by, run_id, step, index, name, input, effect, state, output,
    idempotency_key, cost_micros, epoch, ended_at, audit, shown_input, shown_output)
  select (w.a).agent_uid, c ->> 'callId', (w.a).tenant_id, (w.a).owner_id, (w.r).created_by, (w.r).run_id, (c ->> 'step')::integer,
    (c ->> 'index')::integer, c ->> 'name', (c -> 'input')::json, c ->> 'effect', c ->> 'state', nullif(c -> 'output', 'null')::json,
    c ->> 'idempotencyKey', coalesce((c ->> 'costMicros')::bigint, 0), (w.a).lease_epoch, case when baton.is_final_call(c ->> 'state') then baton.clock() end,
    jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('at', baton.clock(), 'state', c ->> 'state', 'note', c ->> 'note'))),
    (c -> 'shownInput')::json, (c -> 'shownOutput')::json
  from jsonb_array_elements(coalesce(calls, '[]')) c
  on conflict (agent_uid, call_id) do update set state = excluded.state, output = excluded.output, ended_at = excluded.ended_at,
    audit = t.audit || excluded.audit, shown_output = excluded.shown_output
  where not baton.is_final_call(t.state);
end $$;

-- Marks the calls that start now; their tool_start events stand in the intent's commit.
drop function if exists baton.start_calls(baton.work, jsonb);
-- external: {callId: milliseconds that the outside has to answer}. What somebody must decide cannot be started.
create or replace function baton.start_calls(w baton.work, ids jsonb, external jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c baton.tool_calls;
begin
  w := baton.charge_calls(w, ids);
  for c in select * from baton.calls_named((w.a).agent_uid, ids) x where x.state in ('pending', 'approved', 'executing') loop
    update baton.tool_calls t set state = case when t.effect = 'external' then 'waiting_external' else 'executing' end, epoch = (w.a).lease_epoch, attempts = t.attempts + 1,
      started_at = coalesce(t.started_at, baton.clock()),
      audit = t.audit || jsonb_build_object('at', baton.clock(), 'state', case when t.effect = 'external' then 'waiting_external' else 'executing' end, 'attempt', t.attempts + 1, 'epoch', (w.a).lease_epoch)
    where t.agent_uid = c.agent_uid and t.call_id = c.call_id returning * into c;
    c := baton.shown(c);
    if c.attempts = 1 then
      w := baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', 'progress', 'type', 'tool_start', 'step', c.step,
        'data', jsonb_build_object('callId', c.call_id, 'name', c.name, 'input', c.input, 'effect', c.effect, 'attempt', c.attempts))));
      w.r.tool_calls := (w.r).tool_calls + 1;
    end if;
    if c.effect = 'external' then perform baton.await_external(w, c.call_id, (external ->> c.call_id)::numeric); end if;
    -- One entry for each start; a call with a price has had its own when it was charged.
    if c.effect in ('once', 'external') and not (c.attempts = 1 and c.cost_micros > 0) then
      perform baton.audit_run(w, jsonb_build_object('action', 'tool.call', 'decision', 'allowed', 'callId', c.call_id, 'scope', 'tool:' || c.name,
        'reason', c.approval ->> 'id', 'data', jsonb_build_object('attempt', c.attempts, 'effect', c.effect)));
    end if;
  end loop;
  return w;
end $$;

create or replace function baton.ended_calls_events(w baton.work, calls jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c baton.tool_calls;
begin
  for c in select * from baton.calls_named((w.a).agent_uid, jsonb_path_query_array(calls, '$[*].callId')) x where baton.is_final_call(x.state) loop
    c := baton.shown(c);
    if c.attempts = 0 then
      w := baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', 'progress', 'type', 'tool_start', 'step', c.step,
        'data', jsonb_build_object('callId', c.call_id, 'name', c.name, 'input', c.input, 'effect', c.effect, 'attempt', 0))));
    end if;
    w := baton.append_events(w, jsonb_build_array(jsonb_build_object('channel', 'progress', 'type', 'tool_end', 'step', c.step,
      'data', jsonb_build_object('call', baton.call_json(c)))));
  end loop;
  return w;
end $$;

-- The facts: settled money, messages, calls, events, values, counters.
create or replace function baton.store_happened(w baton.work, h jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  c jsonb := coalesce(h -> 'count', '{}');
  any_calls boolean := coalesce(jsonb_array_length(h -> 'calls'), 0) > 0;
begin
  -- Each statement costs its start, also one that finds nothing to do: what most commits lack is not looked for (docs/decisions/0022).
  for at in 0 .. coalesce(jsonb_array_length(h -> 'settle'), 0) - 1 loop w := baton.settle_one(w, h -> 'settle' -> at); end loop;
  w := baton.append_messages(w, coalesce(h -> 'messages', '[]'));
  if any_calls then
    perform baton.write_calls(w, h -> 'calls');
    perform baton.audit_limited(w, h -> 'calls');
    if h -> 'calls' @? '$[*].hook' then perform baton.audit_hooks(w, h -> 'calls'); end if;
  end if;
  w := baton.append_events(w, coalesce(h -> 'events', '[]'));
  if any_calls then
    w := baton.guard_calls(w, h -> 'calls');
    if h -> 'calls' @? '$[*].unbegun' then w := baton.refund_calls(w, h -> 'calls'); end if;
    w := baton.ended_calls_events(w, h -> 'calls');
  end if;
  if coalesce(h -> 'values', '{}') <> '{}' then
    insert into baton.agent_state (agent_uid, key, value) select (w.a).agent_uid, e.key, e.value::json from jsonb_each(h -> 'values') e
    on conflict (agent_uid, key) do update set value = excluded.value, version = baton.agent_state.version + 1;
  end if;
  if h ? 'removed' then
    delete from baton.agent_state s where s.agent_uid = (w.a).agent_uid and h -> 'removed' ? s.key;
  end if;
  w.r.step := coalesce((c ->> 'step')::integer, (w.r).step);
  w.r.attempt := coalesce((c ->> 'attempt')::integer, (w.r).attempt);
  w.r.cuts := coalesce((c ->> 'cuts')::integer, (w.r).cuts);
  w.r.empty_answers := coalesce((c ->> 'emptyAnswers')::integer, (w.r).empty_answers);
  w.r.window_retries := coalesce((c ->> 'windowRetries')::integer, (w.r).window_retries);
  w.r.model_index := coalesce((c ->> 'modelIndex')::integer, (w.r).model_index);
  w.r.model_calls := (w.r).model_calls + coalesce((c ->> 'modelCalls')::integer, 0);
  w.r.work_ms := (w.r).work_ms + coalesce((c ->> 'workMs')::bigint, 0);
  w.a.steps := (w.a).steps + coalesce((c ->> 'steps')::integer, 0);
  if h ->> 'usage' is not null then
    w.r.usage := (select jsonb_object_agg(u.key, u.value::bigint + coalesce((h -> 'usage' ->> u.key)::bigint, 0)) from jsonb_each_text((w.r).usage) u);
  end if;
  if h ? 'lastError' then w.r.error := nullif(h -> 'lastError', 'null'); end if;
  -- A step is crossed: a poisonous one would not have come here. A release without progress (cut) keeps the count.
  if coalesce((h ->> 'progress')::boolean, true) then w.r.crashes := 0; end if;
  if h ->> 'gate' is not null then
    insert into baton.gates (environment, model, until) values ((w.a).environment, h -> 'gate' ->> 'model', baton.clock() + baton.duration((h -> 'gate' ->> 'ms')::numeric))
    on conflict (environment, model) do update set until = greatest(baton.gates.until, excluded.until);
  end if;
  return baton.enter_results(w);
end $$;

create or replace function baton.move_window(w baton.work, to_seq bigint) returns baton.work language plpgsql set search_path = '' as $$
begin
  w.a.window_from := to_seq;
  w.a.window_tokens := (select coalesce(sum(m.est_tokens), 0) from baton.messages m where m.agent_uid = (w.a).agent_uid
      and (m.seq >= to_seq or m.seq <= ((w.a).settings -> 'window' ->> 'keepFirst')::bigint and m.role = 'user'));
  return baton.append_event(w, 'monitor', 'window_moved', jsonb_build_object('from', to_seq, 'tokens', (w.a).window_tokens));
end $$;

-- True while calls that this epoch has started are without an outcome: their executor is still at them.
create or replace function baton.at_work(w baton.work) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return exists (select from baton.tool_calls c where c.run_id = (w.r).run_id and not c.entered
    and c.state = 'executing' and c.epoch = (w.a).lease_epoch);
end $$;

create or replace function baton.commit_step(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  x record;
  met record;
  i jsonb := coalesce(p -> 'intends', '{}');
  steered boolean := false;
  allowed boolean;
  before bigint;
  verdict jsonb;
  answer json;
  first_seq bigint;
  pausing text;
  failing boolean;
begin
  select a into w.a from baton.agents a where a.agent_uid = (p ->> 'agentUid')::uuid for update;
  if not found then return baton.refuse('lease_lost'); end if;
  if (w.a).last_commit = p ->> 'commitId' then return baton.commit_answer(w, (w.a).last_answer, i -> 'waiting'); end if;
  if (w.a).lease_owner is distinct from p ->> 'sliceId' or (w.a).lease_epoch <> (p ->> 'epoch')::bigint then return baton.lost_lease(w.a); end if;
  -- `after`: the commit that its slice knows as the agent's last one. An attempt that was held up on its way comes behind another and changes nothing.
  if p ? 'after' and (w.a).last_commit is distinct from p ->> 'after' then return baton.lost_lease(w.a); end if;
  select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
  first_seq := (w.a).last_event_seq + 1;
  w := baton.store_happened(w, coalesce(p -> 'happened', '{}'));
  met := baton.meet_switch(w);
  w := met.w;
  allowed := (w.r).stop_requested is null or coalesce((w.r).stop_requested = i -> 'end' ->> 'stopReason', false);
  -- Authority that is over starts nothing more; an end needs none.
  if (i ? 'start' or i ? 'reserve') and baton.has_expired(w) then allowed := false; end if;

  -- A steered message enters wherever no call is open, and turns an end or a wait into "go on"; not where its run has used up what it may do.
  if (w.r).stop_requested is null and not baton.has_open_calls(w) and (i ->> 'end' is null or i -> 'end' ->> 'state' = 'completed' and not i -> 'end' ? 'last') then
    before := (w.a).last_message_seq;
    w := baton.take_steered(w);
    steered := (w.a).last_message_seq > before;
  end if;

  if allowed and i ->> 'window' is not null then w := baton.move_window(w, (i -> 'window' ->> 'from')::bigint); end if;
  if allowed and i ->> 'end' is not null and not steered then
    if i -> 'end' ->> 'state' = 'expired' then
      perform baton.audit_run(w, jsonb_build_object('action', 'run.expire', 'decision', 'refused', 'code', 'authority_expired', 'reason', i -> 'end' -> 'error' ->> 'message'));
    end if;
    w := baton.end_run(w, i -> 'end' ->> 'state', i -> 'end' ->> 'stopReason', i -> 'end' ->> 'output', nullif(i -> 'end' -> 'error', 'null'));
  elsif met.held and (i ->> 'release' is not null or not baton.at_work(w)) then
    -- What is in hand is stored now; nothing else starts until somebody lifts the switch.
    allowed := false;
    w := baton.hold_run(w);
  elsif allowed and not met.held and i ->> 'wait' is not null and (not steered or i -> 'wait' ->> 'kind' = 'retry') then
    -- A provider that asked for time gets it, whatever has been steered in.
    w.r.state := 'waiting';
    w.r.wait_kind := i -> 'wait' ->> 'kind';
    -- Nobody waits past the end of its authority: then the run ends.
    w.r.due_at := least(baton.clock() + baton.duration((i -> 'wait' ->> 'ms')::numeric), (w.a).expires_at, (w.r).expires_at);
    if i -> 'wait' ? 'refusal' and baton.limit_changed(w, i -> 'wait' -> 'refusal') then w.r.due_at := baton.clock(); end if;
    w := baton.state_changed(baton.release(w));
  else
    allowed := allowed and not met.held;
    if allowed and i ->> 'start' is not null then
      w := baton.count_calls(baton.start_calls(w, i -> 'start', i -> 'external'), jsonb_array_length(i -> 'start'));
    end if;
    pausing := case when allowed and (i ->> 'pause')::boolean then baton.waits_for(w, true) end;
    if allowed and i ->> 'reserve' is not null then
      x := baton.reserve(w, i -> 'reserve');
      w := baton.count_calls(x.w, (x.verdict ->> 'reserved' = 'granted')::integer);
      verdict := x.verdict;
    end if;
    -- Decided from what stands under the lock: a decision that came meanwhile turns the pause into going on.
    if pausing is not null then
      w := baton.pause_run(w, pausing);
    elsif i ->> 'release' is not null then
      w.counts := coalesce(w.counts, '[]') || jsonb_build_array(jsonb_build_array('baton_hand_offs_total', jsonb_build_object('reason', i ->> 'release'), '', 1));
      w := baton.append_event(w, 'monitor', 'handed_off', jsonb_build_object('reason', i ->> 'release', 'slice', (w.r).slices));
      w := baton.write_webhook(w, 'run.handed_off', jsonb_build_object('reason', i ->> 'release', 'slice', (w.r).slices));
      w := baton.release(w);
    else
      w.a.lease_until := baton.clock() + baton.duration((p ->> 'leaseMs')::numeric);
    end if;
  end if;

  w.a.version := (w.a).version + 1;
  w.a.last_commit := p ->> 'commitId';
  w.a.last_answer := jsonb_build_object('firstSeq', first_seq, 'lastSeq', (w.a).last_event_seq, 'runId', (w.r).run_id, 'allowed', allowed,
    'released', (w.a).lease_owner is null, 'steered', steered, 'reserved', coalesce(verdict -> 'reserved', '"none"'),
    'granted', verdict -> 'granted', 'refusal', verdict -> 'refusal', 'refusedCalls', w.refused, 'enteredFrom', w.entered_from,
    'enteredTo', case when (w.a).lease_owner is not null then (w.a).last_message_seq end);
  w.counts := coalesce(w.counts, '[]') || baton.commit_counts(w, coalesce(p -> 'happened', '{}'));
  if p -> 'happened' ? 'model' then failing := baton.note_provider((w.a).environment, p -> 'happened' -> 'model'); end if;
  w := baton.save_work(w);
  answer := baton.commit_answer(w, (w.a).last_answer || jsonb_build_object('outbox', coalesce(w.rows, '[]')), i -> 'waiting');
  -- Counters are touched last, for whoever else of the tenant waits for them; that they object is rare.
  x := baton.close_books(w);
  if x.verdict is null and (x.w).rows is not distinct from w.rows then return answer; end if;
  w := x.w;
  if x.verdict is not null then
    w.a.last_answer := (w.a).last_answer || '{"granted": null, "refusal": null}' || x.verdict;
    update baton.agents a set last_answer = (w.a).last_answer where a.agent_uid = (w.a).agent_uid;
  end if;
  return baton.commit_answer(w, (w.a).last_answer || jsonb_build_object('outbox', coalesce(w.rows, '[]')), i -> 'waiting');
end $$;

-- The answer carries what the next step needs: the messages that entered beside the executor's own, the flags, the run's state.
drop function if exists baton.commit_answer(baton.work, jsonb);
create or replace function baton.commit_answer(w baton.work, result jsonb, waiting jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  r baton.runs := w.r;
begin
  if r.run_id is distinct from result ->> 'runId' then select * into r from baton.runs x where x.run_id = result ->> 'runId'; end if;
  return json_build_object('ok', true, 'now', baton.clock(), 'firstSeq', result -> 'firstSeq', 'lastSeq', result -> 'lastSeq',
    'allowed', result -> 'allowed', 'released', result -> 'released', 'steered', result -> 'steered', 'reserved', result -> 'reserved',
    'granted', result -> 'granted', 'refusal', result -> 'refusal', 'refusedCalls', result -> 'refusedCalls',
    'flags', baton.flags(w.a, r), 'state', r.state, 'stopReason', r.stop_reason,
    'costMicros', r.cost_micros, 'reservedMicros', r.reserved_micros, 'toolCalls', r.tool_calls, 'outbox', coalesce(result -> 'outbox', '[]'),
    'windowFrom', (w.a).window_from, 'gates', baton.closed_gates((w.a).environment),
    'entered', case when result ->> 'enteredTo' is null then '[]'::json else (select coalesce(json_agg(baton.window_json(m, m.run_id) order by m.seq), '[]')
      from baton.messages m where m.agent_uid = (w.a).agent_uid and m.seq between (result ->> 'enteredFrom')::bigint and (result ->> 'enteredTo')::bigint
        and m.role <> 'assistant') end,
    -- Of the calls that waited when the executor sent this: what has become of those that somebody has answered since.
    'decided', case when jsonb_array_length(waiting) > 0 then (select coalesce(json_agg(baton.call_json(c) order by c.step, c.index), '[]')
      from baton.calls_named((w.a).agent_uid, waiting) c where c.state not in ('approval_required', 'waiting_external')) else '[]'::json end,
    'enteredFrom', result -> 'enteredFrom');
end $$;
