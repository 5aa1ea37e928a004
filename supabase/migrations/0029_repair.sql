-- Repairs of what 0028 finds: under the agent's lock, one after the other, each in the audit. Nothing is lost: what is replaced is kept in baton.repairs,
-- what is missing is made again from the records, and where there are none a row says so in its place.
create table if not exists baton.repairs (
  id bigint generated always as identity primary key,
  agent_uid uuid not null references baton.agents (agent_uid) on delete cascade,
  code text not null,
  before jsonb not null,
  at timestamptz not null default baton.clock()
);
create index if not exists repairs_of_agent on baton.repairs (agent_uid, id);

create or replace function baton.keep_before(uid uuid, code text, before jsonb) returns void language plpgsql set search_path = '' as $$
begin
  insert into baton.repairs (agent_uid, code, before) values (uid, keep_before.code, keep_before.before);
end $$;

-- A message at the number: where a row stands there, it and all behind it move up by one.
create or replace function baton.put_message(w baton.work, place bigint, run text, role text, kind text, content json) returns baton.work language plpgsql set search_path = '' as $$
begin
  if exists (select from baton.messages m where m.agent_uid = (w.a).agent_uid and m.seq = place) then
    -- By way of negative numbers, for two rows may never have the same.
    update baton.messages m set seq = -(m.seq + 1) where m.agent_uid = (w.a).agent_uid and m.seq >= place;
    update baton.messages m set seq = -m.seq where m.agent_uid = (w.a).agent_uid and m.seq < 0;
    update baton.runs r set opening_seq = r.opening_seq + 1 where r.agent_uid = (w.a).agent_uid and r.opening_seq >= place;
    if (w.r).opening_seq >= place then w.r.opening_seq := (w.r).opening_seq + 1; end if;
    if (w.a).window_from >= place then w.a.window_from := (w.a).window_from + 1; end if;
    w.a.last_message_seq := (w.a).last_message_seq + 1;
  end if;
  insert into baton.messages (agent_uid, seq, tenant_id, owner_id, run_id, role, kind, content, bytes, est_tokens)
  values ((w.a).agent_uid, place, (w.a).tenant_id, (w.a).owner_id, run, role, kind, content, octet_length(content::text), octet_length(content::text) / 3 + 1);
  w.a.last_message_seq := greatest((w.a).last_message_seq, place);
  w.a.window_tokens := (w.a).window_tokens + octet_length(content::text) / 3 + 1;
  return w;
end $$;

-- Another content of a row that is there; the old row is kept.
create or replace function baton.replace_message(w baton.work, place bigint, code text, role text, content json) returns baton.work language plpgsql set search_path = '' as $$
begin
  perform baton.keep_before(m.agent_uid, code, to_jsonb(m)) from baton.messages m where m.agent_uid = (w.a).agent_uid and m.seq = place;
  update baton.messages m set role = replace_message.role, kind = case when m.role = replace_message.role then m.kind else 'gap' end, content = replace_message.content,
    bytes = octet_length(replace_message.content::text), est_tokens = octet_length(replace_message.content::text) / 3 + 1 where m.agent_uid = (w.a).agent_uid and m.seq = place;
  w.a.window_tokens := (w.a).window_tokens + octet_length(content::text) / 3 + 1;
  return w;
end $$;

-- The results of some calls as parts of a tool message, from the records; a call without one has an outcome that nobody knows.
create or replace function baton.results_of(uid uuid, ids jsonb) returns json language plpgsql stable set search_path = '' as $$
begin
  return (select json_agg(json_build_object('type', 'tool-result', 'toolCallId', c.id, 'toolName', coalesce(t.name, (select h.name from baton.history_parts(uid) h where h.call_id = c.id limit 1)),
      'output', coalesce(t.output, json_build_object('type', 'error-text', 'value', 'The outcome of this call is unknown: it may have happened. Check before repeating it.'))) order by c.ordinality)
    from jsonb_array_elements_text(ids) with ordinality c(id, ordinality) left join baton.tool_calls t on t.agent_uid = uid and t.call_id = c.id);
end $$;

create or replace function baton.repair_history(w baton.work, f jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  uid uuid := (w.a).agent_uid;
  d jsonb := f -> 'details';
  spot bigint := (d ->> 'seq')::bigint;
  run text := f ->> 'runId';
  m baton.messages;
  parts json;
begin
  if f ->> 'code' = 'message_gap' then
    for n in (d ->> 'from')::bigint .. least((d ->> 'to')::bigint, (d ->> 'from')::bigint + 99) loop
      w := baton.put_message(w, n, null, 'user', 'gap', to_json('[A message of this conversation was lost here.]'::text));
    end loop;
  elsif f ->> 'code' = 'message_corrupted' then
    select baton.results_of(uid, jsonb_agg(h.call_id order by h.place)) into parts from baton.history_parts(uid) h
    where d ->> 'role' = 'tool' and h.kind = 'tool-call' and h.seq = spot - 1;
    w := baton.replace_message(w, spot, 'message_corrupted', case when d ->> 'role' = 'tool' and parts is null then 'user' else d ->> 'role' end,
      coalesce(parts, to_json('[This message could not be read; the original is kept for an administrator.]'::text)));
  elsif f ->> 'code' = 'dangling_call' then
    parts := baton.results_of(uid, d -> 'callIds');
    select * into m from baton.messages x where x.agent_uid = uid and x.seq = spot + 1;
    if m.role = 'tool' and baton.readable(m.role, m.content) then
      w := baton.replace_message(w, spot + 1, 'dangling_call', 'tool', (select json_agg(x.value order by x.n) from (
        select p.value, p.ordinality as n from json_array_elements(m.content) with ordinality p
        union all select p.value, 1000000 + p.ordinality from json_array_elements(parts) with ordinality p) x));
    else
      w := baton.put_message(w, spot + 1, run, 'tool', 'message', parts);
    end if;
    update baton.tool_calls t set entered = true where t.agent_uid = uid and t.call_id in (select jsonb_array_elements_text(d -> 'callIds')) and baton.is_final_call(t.state);
  elsif f ->> 'code' = 'doubled_result' then
    select * into m from baton.messages x where x.agent_uid = uid and x.seq = spot;
    select json_agg(p.value order by p.ordinality) into parts from json_array_elements(m.content) with ordinality p where p.ordinality <> (d ->> 'place')::bigint;
    w := baton.replace_message(w, spot, 'doubled_result', case when parts is null then 'user' else 'tool' end,
      coalesce(parts, to_json('[A doubled tool result stood here.]'::text)));
  elsif f ->> 'code' = 'orphan_result' then
    select json_agg(json_build_object('type', 'tool-call', 'toolCallId', h.call_id, 'toolName', h.name, 'input', coalesce(t.input, '{}')) order by h.place) into parts
    from baton.history_parts(uid) h left join baton.tool_calls t on t.agent_uid = uid and t.call_id = h.call_id
    where h.seq = spot and h.kind = 'tool-result' and d -> 'callIds' ? h.call_id;
    select x.run_id into run from baton.messages x where x.agent_uid = uid and x.seq = spot;
    w := baton.put_message(w, case when spot > 1 and not exists (select from baton.messages x where x.agent_uid = uid and x.seq = spot - 1) then spot - 1 else spot end,
      run, 'assistant', 'message', parts);
  end if;
  return w;
end $$;

create or replace function baton.repair_counter(w baton.work, f jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  d jsonb := f -> 'details';
  value bigint := (d ->> 'shouldBe')::bigint;
begin
  if f ->> 'code' = 'event_gap' then
    insert into baton.events (agent_uid, seq, tenant_id, owner_id, channel, type, data, at)
    select (w.a).agent_uid, n, (w.a).tenant_id, (w.a).owner_id, 'monitor', 'repaired', json_build_object('code', 'event_gap'),
      coalesce((select e.at from baton.events e where e.agent_uid = (w.a).agent_uid and e.seq < (d ->> 'from')::bigint order by e.seq desc limit 1), baton.clock())
    from generate_series((d ->> 'from')::bigint, least((d ->> 'to')::bigint, (d ->> 'from')::bigint + 9999)) n;
    return w;
  end if;
  case d ->> 'counter'
    when 'first_event_seq' then update baton.agents a set first_event_seq = value where a.agent_uid = (w.a).agent_uid;
    when 'last_event_seq' then w.a.last_event_seq := value;
    when 'last_message_seq' then w.a.last_message_seq := value;
    when 'last_inbox' then w.a.last_inbox := value;
    when 'queued' then w.a.queued := value;
    when 'steps' then w.a.steps := value;
    when 'window_tokens' then w.a.window_tokens := value;
  end case;
  return w;
end $$;

-- The run in hand is due at once, whatever it stood at.
create or replace function baton.wake_run(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  w.a.active_run := (w.r).run_id;
  w.r.state := 'running';
  w.r.wait_kind := null;
  w.r.due_at := baton.clock();
  w.a.state := 'working';
  return baton.state_changed(w);
end $$;

create or replace function baton.repair_run(w baton.work, f jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  target baton.runs;
begin
  if f ->> 'code' in ('active_run_ended', 'idle_agent_marked') then
    w := baton.release(w);
    w.a.active_run := null;
    w.a.state := 'ready';
    -- The queue goes by the rows, not by the counter.
    w.a.queued := (select count(*) from baton.inbox i where i.agent_uid = (w.a).agent_uid);
    return baton.start_next(w);
  end if;
  if f ->> 'code' in ('run_stuck', 'open_call_without_lease') then return baton.wake_run(w); end if;
  if f ->> 'code' = 'run_overdue' then
    w.r.due_at := baton.clock(); -- save_work writes the continuation
    return w;
  end if;
  select * into target from baton.runs r where r.run_id = f ->> 'runId';
  if f ->> 'code' = 'inbox_of_ended_run' then
    -- Ids of runs sort by the time of their making (UUIDv7), and lists, `after` and bulk retries go by that: made when its message was accepted.
    update baton.inbox i set run_id = 'run_' || lpad(to_hex(ceil(extract(epoch from i.created_at) * 1000)::bigint), 12, '0') || '7'
      || substr(replace(gen_random_uuid()::text, '-', ''), 14) where i.agent_uid = (w.a).agent_uid and i.position = (f -> 'details' ->> 'position')::bigint and i.kind <> 'retry';
    delete from baton.inbox i where i.agent_uid = (w.a).agent_uid and i.position = (f -> 'details' ->> 'position')::bigint and i.kind = 'retry';
    if found then w.a.queued := (w.a).queued - 1; end if;
  elsif target.opening_seq is null then
    w := baton.drop_queued(w, target, 'cancelled', 'Its message was lost before it began.');
  elsif (w.a).active_run is null then
    w.r := target;
    w := baton.wake_run(w);
    if baton.waits_for(w, false) is not null then w := baton.pause_run(w, baton.waits_for(w, false)); end if;
  else
    w.a.last_inbox := (w.a).last_inbox + 1;
    w.a.queued := (w.a).queued + 1;
    update baton.runs r set state = 'queued', wait_kind = null, due_at = null where r.run_id = target.run_id;
    insert into baton.inbox (agent_uid, position, tenant_id, owner_id, created_by, run_id, mode, kind, content, bytes, est_tokens, limits)
    values ((w.a).agent_uid, (w.a).last_inbox, (w.a).tenant_id, target.owner_id, target.created_by, target.run_id, 'enqueue', 'retry', '""', 0, 0, target.limits);
  end if;
  return w;
end $$;

create or replace function baton.repair_call(w baton.work, f jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  uid uuid := (w.a).agent_uid;
  call text := f -> 'details' ->> 'callId';
  v baton.approvals;
begin
  case f ->> 'code'
    when 'open_call_without_run' then
      update baton.tool_calls t set entered = true, state = case when baton.is_final_call(t.state) then t.state else 'sealed' end, ended_at = coalesce(t.ended_at, baton.clock()),
        output = coalesce(t.output, json_build_object('type', 'error-text', 'value', case when t.attempts > 0
          then 'The outcome of this call is unknown: it may have happened. Check before repeating it.' else 'This call was not executed.' end)),
        audit = t.audit || jsonb_build_object('at', baton.clock(), 'state', 'sealed', 'note', 'repair: its run had ended')
      where t.agent_uid = uid and t.call_id = call;
    when 'approval_orphan' then
      update baton.approvals x set state = 'cancelled', decided_at = baton.clock(), note = 'repair: nothing waits for it' where x.id = f -> 'details' ->> 'approvalId' returning * into v;
      w := baton.append_event(w, 'control', 'approval_decided', jsonb_build_object('approvalId', v.id, 'callId', v.call_id, 'tool', v.tool, 'decision', null,
        'state', 'cancelled', 'decidedBy', null, 'note', v.note));
    when 'approval_missing' then
      -- Nobody can be asked any more, and nothing is allowed that nobody allowed.
      update baton.tool_calls t set state = 'denied', ended_at = baton.clock(), output = json_build_object('type', 'error-json', 'value', json_build_object('ok', false,
          'errorType', 'denied', 'message', 'The request for approval of this call was lost; it was not executed.', 'retryable', true)),
        audit = t.audit || jsonb_build_object('at', baton.clock(), 'state', 'denied', 'note', 'repair: its approval was lost') where t.agent_uid = uid and t.call_id = call;
      w := baton.ended_calls_events(w, jsonb_build_array(jsonb_build_object('callId', call)));
      if (w.r).run_id = f ->> 'runId' then w := baton.go_on(w); end if;
    when 'wait_orphan' then delete from baton.external_waits x where x.agent_uid = uid and x.call_id = call;
    when 'wait_missing' then perform baton.await_external(w, call, null);
  end case;
  return w;
end $$;

create or replace function baton.repair_rest(w baton.work, f jsonb) returns baton.work language plpgsql set search_path = '' as $$
declare
  d jsonb := f -> 'details';
  active baton.runs := w.r;
  o baton.outbox;
begin
  case f ->> 'code'
    when 'outbox_stuck' then
      update baton.outbox x set created_at = baton.clock(), sent_at = case when x.kind = 'webhook' and not exists (select from baton.webhook_deliveries v
        where v.id = x.data ->> 'deliveryId' and v.state = 'pending') then baton.clock() end where x.id = d ->> 'outboxId' and x.sent_at is null returning * into o;
      if o.id is not null and o.sent_at is null then
        w.rows := coalesce(w.rows, '[]') || jsonb_build_object('id', o.id, 'kind', o.kind, 'data', o.data, 'dueInMs', 0);
      end if;
    when 'run_money_differs' then
      update baton.runs r set cost_micros = case when d ->> 'field' = 'costMicros' then (d ->> 'shouldBe')::bigint else r.cost_micros end,
        reserved_micros = case when d ->> 'field' = 'reservedMicros' then (d ->> 'shouldBe')::bigint else r.reserved_micros end where r.run_id = f ->> 'runId';
      select r into w.r from baton.runs r where r.run_id = active.run_id;
    when 'reservation_open' then
      select r into w.r from baton.runs r where r.run_id = f ->> 'runId';
      w := baton.book_estimates(w);
      perform baton.save_run(w.r);
      w.r := active;
  end case;
  return w;
end $$;

-- The order matters: rows first that others are judged by.
create or replace function baton.repair_order(code text) returns integer language plpgsql immutable set search_path = '' as $$
begin
  return coalesce(array_position(array['active_run_ended', 'open_call_without_run', 'message_corrupted', 'orphan_result', 'doubled_result', 'dangling_call', 'message_gap',
    'counter_differs', 'event_gap', 'approval_orphan', 'approval_missing', 'wait_orphan', 'wait_missing', 'inbox_of_ended_run', 'run_unreachable', 'idle_agent_marked'], code), 99);
end $$;

-- Mends one agent, whose row the caller has locked, finding by finding. A finding that stays after its repair is left. A slice that still runs
-- under a lease that is over can commit nothing more.
create or replace function baton.repair_locked(a baton.agents, actor text, request text) returns jsonb language plpgsql set search_path = '' as $$
declare
  w baton.work;
  f jsonb;
  first jsonb;
  tried jsonb := '[]';
  rows jsonb := '[]';
begin
  w.a := a;
  if (w.a).lease_owner is not null then w.a.lease_epoch := (w.a).lease_epoch + 1; end if;
  select baton.findings(x) into first from baton.agents x where x.agent_uid = a.agent_uid;
  for turn in 1..300 loop
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    select x.value into f from baton.agents g cross join lateral jsonb_array_elements(baton.findings(g)) x
    where g.agent_uid = a.agent_uid and not tried @> jsonb_build_array(x.value) order by baton.repair_order(x.value ->> 'code') limit 1;
    exit when f is null;
    tried := tried || jsonb_build_array(f);
    w := case when f ->> 'code' in ('message_gap', 'message_corrupted', 'dangling_call', 'doubled_result', 'orphan_result') then baton.repair_history(w, f)
      when f ->> 'code' in ('counter_differs', 'event_gap') then baton.repair_counter(w, f)
      when f ->> 'code' in ('outbox_stuck', 'run_money_differs', 'reservation_open') then baton.repair_rest(w, f)
      when f ->> 'code' in ('open_call_without_run', 'approval_orphan', 'approval_missing', 'wait_orphan', 'wait_missing') then baton.repair_call(w, f)
      else baton.repair_run(w, f) end;
    perform baton.audit_run(w, jsonb_build_object('action', 'agent.repair', 'decision', 'recorded', 'code', f -> 'code', 'runId', f -> 'runId', 'data', f -> 'details',
      'actor', actor, 'requestId', request));
    w := baton.finish(w);
    rows := rows || coalesce(w.rows, '[]');
    w.rows := null;
  end loop;
  return (select jsonb_build_object('findings', first, 'repaired', tried, 'left', baton.findings(x), 'outbox', rows) from baton.agents x where x.agent_uid = a.agent_uid);
end $$;

-- {agent} of an authorized admin. An agent at work is refused: its executor holds the history in its hands.
create or replace function baton.repair_agent(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  a baton.agents := baton.find_agent(p);
begin
  if a.agent_uid is null then return baton.refuse('agent_not_found'); end if;
  select * into a from baton.agents x where x.agent_uid = a.agent_uid for update;
  if baton.lease_live(a) then return baton.refuse('agent_busy', jsonb_build_object('runId', a.active_run, 'retryAfterMs', 5000)); end if;
  return (jsonb_build_object('ok', true, 'agentId', a.id, 'agentUid', a.agent_uid) || baton.repair_locked(a, p ->> 'caller', p ->> 'requestId'))::json;
end $$;
