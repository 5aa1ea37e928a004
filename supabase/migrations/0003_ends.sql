-- How runs begin, end and are stopped; what a caller sees of a run.
create or replace function baton.run_json(r baton.runs, a baton.agents) returns json language plpgsql stable set search_path = '' as $$
begin
  return json_build_object('id', r.run_id, 'agentId', a.id, 'agentUid', r.agent_uid, 'state', r.state, 'stopReason', r.stop_reason, 'cause', r.cause,
    'retryOf', r.retry_of, 'wait', case when r.wait_kind is not null then json_build_object('kind', r.wait_kind, 'dueAt', r.due_at) end,
    'dueAt', r.due_at, 'step', r.step, 'modelCalls', r.model_calls, 'toolCalls', r.tool_calls, 'attempt', r.attempt, 'crashes', r.crashes,
    'slices', r.slices, 'workMs', r.work_ms, 'limits', r.limits, 'overrides', r.overrides, 'expiresAt', least(a.expires_at, r.expires_at), 'metadata', r.metadata, 'usage', r.usage, 'costMicros', r.cost_micros,
    'reservedMicros', r.reserved_micros, 'template', a.template, 'templateVersionOpened', r.template_opened, 'templateVersionLast', r.template_last,
    'output', r.output, 'error', r.error, 'stopRequested', r.stop_requested, 'stopNote', r.stop_note,
    'lease', case when a.active_run = r.run_id and a.lease_owner is not null
      then json_build_object('owner', a.lease_owner, 'epoch', a.lease_epoch, 'until', a.lease_until, 'live', baton.lease_live(a)) end,
    'firstSeq', r.first_event_seq, 'lastSeq', a.last_event_seq, 'createdAt', r.created_at, 'startedAt', r.started_at, 'endedAt', r.ended_at, 'updatedAt', r.updated_at);
end $$;

-- A queued run becomes the active one: its message enters the conversation.
create or replace function baton.begin_run(w baton.work, message jsonb) returns baton.work language plpgsql set search_path = '' as $$
begin
  w := baton.append_messages(w, case when message is null then '[]' else jsonb_build_array(message || '{"role":"user"}') end);
  w.r.opening_seq := case when message is not null then (w.a).last_message_seq else (w.r).opening_seq end;
  w.r.first_event_seq := (w.a).last_event_seq + 1;
  w.r.state := 'running';
  w.r.started_at := coalesce((w.r).started_at, baton.clock());
  w.r.due_at := coalesce((w.r).due_at, baton.clock());
  w.a.active_run := (w.r).run_id;
  if baton.switch_mode(w.a, w.r) = 'hold' then return baton.hold_run(w); end if;
  w.a.state := 'working';
  return baton.state_changed(w);
end $$;

-- Whether a message may not steer the run, for it asks for other rules or tells another address: it becomes the next one.
create or replace function baton.is_apart(r baton.runs, asked jsonb) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return asked -> 'narrowing' is not null or asked -> 'webhook' ->> 'url' <> coalesce(r.webhook ->> 'url', '')
    or exists (select from jsonb_each(coalesce(nullif(asked -> 'limits', 'null'), '{}')) l where l.value::numeric < coalesce((r.limits ->> l.key)::numeric, 'infinity'));
end $$;

-- The history ends with an answer: there is nothing to go on from, only a message could ask for more.
create or replace function baton.is_answered(agent uuid) returns boolean language plpgsql stable set search_path = '' as $$
begin
  return coalesce((select m.role = 'assistant' from baton.messages m where m.agent_uid = agent order by m.seq desc limit 1), false);
end $$;

-- The head of the queue starts in the same transaction that ended the run before it. Steered and interrupting messages go first.
-- What a kill covers ends here without having begun.
create or replace function baton.start_next(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  ended baton.runs := w.r;
  next baton.runs;
  m baton.inbox;
  x record;
begin
  while (w.a).queued > 0 loop
    delete from baton.inbox i where (i.agent_uid, i.position) = (
      select q.agent_uid, q.position from baton.inbox q where q.agent_uid = (w.a).agent_uid
      order by q.mode = 'enqueue', q.position limit 1) returning * into m;
    if not found then return w; end if;
    w.a.queued := (w.a).queued - 1;
    insert into baton.runs (run_id, agent_uid, tenant_id, environment, owner_id, created_by, state, limits, metadata, webhook, template_opened)
    values (m.run_id, m.agent_uid, m.tenant_id, (w.a).environment, m.owner_id, m.created_by, 'queued', m.limits, m.metadata, m.webhook, (w.a).settings ->> 'templateVersion')
    on conflict (run_id) do nothing;
    select r.* into next from baton.runs r where r.run_id = m.run_id;
    select * into x from baton.drop_if_killed(w, next);
    w := x.w;
    if x.dropped then continue; end if;
    -- What retry_ended says to one that need not wait; what has begun already (a repair puts it back) is no new one.
    if m.kind = 'retry' and next.started_at is null and baton.is_answered((w.a).agent_uid) then
      next.error := '{"code": "nothing_to_retry", "message": "The run before it has answered, so there is nothing to go on from; send a message instead."}';
      w := baton.drop_queued(w, next, 'cancelled', 'Nothing to retry: the run before it has answered.');
      continue;
    end if;
    w.r := next;
    w := baton.begin_run(w, case when m.kind <> 'retry' then
      jsonb_build_object('kind', m.kind, 'content', m.content::jsonb, 'bytes', m.bytes, 'estTokens', m.est_tokens) end);
    if (w.r).due_at is not null then w := baton.write_continue(w, (w.r).run_id, (w.r).due_at); end if;
    -- What came too late to steer the ended run steers this one.
    if m.mode = 'steer' or (w.a).queued > 0 then
      perform baton.steered_into(w, array(select i.run_id from baton.inbox i where i.agent_uid = (w.a).agent_uid and i.mode = 'steer') || m.run_id, (w.r).run_id);
    end if;
    perform baton.save_run(w.r);
    w.r := ended;
    return w;
  end loop;
  return w;
end $$;

-- A file that the provider does not take would end each later run of the conversation, too: what the model reads of it from now on is a note
-- (without_files), the history keeps it. A retry of the run asks with the files once more, and gives them back when it goes well. What no answer
-- stands behind (its own run was stopped, or ended in another way) has been asked with and is marked, too.
alter table baton.messages add column if not exists files_refused boolean not null default false;
create or replace function baton.mark_files(w baton.work) returns void language plpgsql set search_path = '' as $$
declare
  refused boolean := coalesce((w.r).stop_reason = 'bad_request', false);
begin
  if not refused and ((w.r).retry_of is null or (w.r).state <> 'completed') then return; end if;
  update baton.messages m set files_refused = refused
  where m.agent_uid = (w.a).agent_uid and m.role = 'user' and m.files_refused <> refused
    and (m.seq >= (w.r).opening_seq
        and m.run_id = any (array[(w.r).run_id, (select o.run_id from baton.messages o where o.agent_uid = (w.a).agent_uid and o.seq = (w.r).opening_seq)])
      or refused and m.seq > coalesce((select a.seq from baton.messages a where a.agent_uid = (w.a).agent_uid and a.role = 'assistant' order by a.seq desc limit 1), 0))
    and json_typeof(m.content) = 'array' and exists (select from json_array_elements(m.content) e where e ->> 'type' in ('file', 'image'));
end $$;

-- A message whose files the provider has refused (mark_files): a note in the place of each.
create or replace function baton.without_files(content json) returns json language plpgsql stable set search_path = '' as $$
begin
  return (select json_agg(case when e.value ->> 'type' in ('file', 'image') then json_build_object('type', 'text', 'text',
    format('(A file of the type %s was left out here: the model provider refused the request that held it.)', coalesce(e.value ->> 'mediaType', e.value ->> 'type'))) else e.value end order by e.ordinality)
    from json_array_elements(content) with ordinality e);
end $$;

-- What an executor reads of a message: nothing that it has no use for, a hundred times a turn. Only a run of `whole` asks with files that were refused.
drop function if exists baton.window_json(baton.messages);
create or replace function baton.window_json(m baton.messages, whole text) returns json language sql stable as $$
  select pg_catalog.json_build_object('seq', m.seq, 'runId', m.run_id, 'role', m.role,
    'content', case when m.files_refused and m.run_id is distinct from whole then baton.without_files(m.content) else m.content end, 'estTokens', m.est_tokens)
$$;

-- Ends the run: exactly one terminal event, the webhook, the release and the promotion of the next message in one transaction.
create or replace function baton.end_run(w baton.work, state text, stop_reason text, output text, error jsonb) returns baton.work language plpgsql set search_path = '' as $$
begin
  if not baton.is_open((w.r).state) then raise exception 'run % has ended already', (w.r).run_id; end if;
  -- Here and not by the executor, for a run may end without one.
  if end_run.error is not null then w := baton.append_event(w, 'monitor', 'run_error', end_run.error); end if;
  w := baton.seal_calls(w, stop_reason);
  w := baton.book_estimates(w);
  w.r.state := end_run.state;
  w.r.stop_reason := end_run.stop_reason;
  w.r.output := end_run.output;
  w.r.error := end_run.error;
  w.r.ended_at := baton.clock();
  w.r.due_at := null;
  w.r.wait_kind := null;
  perform baton.mark_files(w);
  w := baton.release(w);
  w.a.active_run := null;
  w.a.state := 'ready';
  w.counts := coalesce(w.counts, '[]') || baton.end_counts(w.r);
  if (w.r).stop_reason = 'step_crashed' then
    perform baton.raise_alert((w.a).environment, 'poisoned:' || (w.a).template, format('Baton (%s): a run of template %s was given up because its step %s crashed its process again and again (run %s).',
      (w.a).environment, (w.a).template, (w.r).step + 1, (w.r).run_id));
  end if;
  if (w.r).state = 'killed' then w := baton.tell_killed(w); end if;
  w := baton.append_events(w, jsonb_build_array(baton.state_event(w), jsonb_build_object('channel', 'progress', 'type', 'done', 'data', jsonb_strip_nulls(jsonb_build_object(
    'state', (w.r).state, 'stopReason', (w.r).stop_reason, 'output', (w.r).output, 'error', (w.r).error, 'usage', (w.r).usage, 'costMicros', (w.r).cost_micros)))));
  w := baton.write_webhook(w, case when (w.r).state = 'completed' then 'run.completed' when (w.r).state = 'killed' then 'agent.killed'
    when (w.r).state = 'cancelled' then 'run.cancelled' else 'run.failed' end);
  return baton.start_next(w);
end $$;

-- Interrupt or cancel one run. With a live lease the executor is asked (a flag that its next commit or heartbeat reads);
-- without one the run ends here, and the epoch moves so that a zombie can commit nothing.
create or replace function baton.stop_run(w baton.work, kind text, note text) returns baton.work language plpgsql set search_path = '' as $$
begin
  if baton.lease_live(w.a) then
    if (w.r).stop_requested is null or kind <> 'interrupted' and (w.r).stop_requested <> 'killed' then
      w.r.stop_requested := kind;
      w.r.stop_note := note;
    end if;
    return w;
  end if;
  w.a.lease_epoch := (w.a).lease_epoch + 1;
  w.r.stop_requested := kind;
  w.r.stop_note := note;
  -- In the words of an executor that is asked to stop (lib/core/decide).
  return baton.end_run(w, case when kind = 'killed' then 'killed' else 'cancelled' end, kind, null,
    jsonb_build_object('code', kind, 'message', format('The run was %s; what had been committed is kept.', kind)));
end $$;

-- A run that still waits in the queue ends without having begun: its message never enters the conversation.
create or replace function baton.drop_queued(w baton.work, queued baton.runs, kind text, note text) returns baton.work language plpgsql set search_path = '' as $$
declare
  active baton.runs := w.r;
begin
  delete from baton.inbox i where i.agent_uid = (w.a).agent_uid and i.run_id = queued.run_id;
  if found then w.a.queued := (w.a).queued - 1; end if;
  w.r := queued;
  w.r.state := case when kind = 'killed' then 'killed' else 'cancelled' end;
  w.r.stop_reason := kind;
  w.r.stop_note := note;
  w.r.ended_at := baton.clock();
  -- Readers of the run begin here; without it they would wait for a beginning that never comes.
  w.r.first_event_seq := (w.a).last_event_seq + 1;
  w.counts := coalesce(w.counts, '[]') || baton.end_counts(w.r);
  if kind = 'killed' then w := baton.tell_killed(w); end if;
  w := baton.state_changed(w);
  w := baton.append_event(w, 'progress', 'done', jsonb_strip_nulls(jsonb_build_object('state', (w.r).state, 'stopReason', kind, 'error', (w.r).error, 'usage', (w.r).usage, 'costMicros', 0)));
  w := baton.write_webhook(w, case when kind = 'killed' then 'agent.killed' else 'run.cancelled' end);
  perform baton.save_run(w.r);
  w.r := active;
  return w;
end $$;

-- {tenant, environment, agent?, runId?, kind: interrupted|cancelled, note?} -> {ok, run?, mayRead?, halt, tenant}
create or replace function baton.stop(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  target baton.runs;
begin
  select a into w.a from baton.agents a
  where a.tenant_id = p ->> 'tenant' and a.environment = p ->> 'environment' and a.agent_uid = case when p ? 'agent'
    then (select x.agent_uid from baton.agents x where x.tenant_id = p ->> 'tenant' and x.id = p ->> 'agent')
    else (select r.agent_uid from baton.runs r where r.run_id = p ->> 'runId') end and baton.may_see(p, a.agent_uid, a.owner_id)
  for update;
  if not found then return json_build_object('ok', false, 'code', case when p ? 'agent' then 'agent_not_found' else 'run_not_found' end); end if;
  select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
  if p ->> 'runId' is not null then
    select * into target from baton.runs r where r.run_id = p ->> 'runId' and r.agent_uid = (w.a).agent_uid;
    if not found then return json_build_object('ok', false, 'code', 'run_not_found'); end if;
  else
    target := w.r;
  end if;
  -- An interrupt of an idle agent, and a stop of an ended run, change nothing.
  if target.run_id is null then return json_build_object('ok', true, 'halt', false, 'tenant', (w.a).tenant_id, 'agentUid', (w.a).agent_uid); end if;
  if baton.is_open(target.state) then
    if target.run_id = (w.a).active_run then
      w := baton.stop_run(w, p ->> 'kind', p ->> 'note');
    else
      w := baton.drop_queued(w, target, p ->> 'kind', p ->> 'note');
    end if;
    w := baton.finish(w);
  end if;
  select * into target from baton.runs r where r.run_id = target.run_id;
  return json_build_object('ok', true, 'halt', baton.is_open(target.state), 'tenant', (w.a).tenant_id, 'agentUid', (w.a).agent_uid, 'run', baton.run_json(target, w.a),
    'mayRead', baton.told_of(baton.reader_of(p), target), 'outbox', coalesce(w.rows, '[]'));
end $$;

-- What stays of a key whose agent was deleted: no key of a caller's has a space in it, and nobody reads it back.
create or replace function baton.gone_key(key text) returns text language plpgsql immutable set search_path = '' as $$
begin
  return 'gone ' || encode(sha256(convert_to(key, 'utf8')), 'hex');
end $$;

-- A repeat that is late must not make the agent anew, which somebody has deleted meanwhile. Null where the key is new indeed.
create or replace function baton.gone_refusal(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  given_key text := p -> 'idempotency' ->> 'key';
begin
  if not exists (select from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = baton.gone_key(given_key)) then
    return null;
  end if;
  delete from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = given_key;
  return baton.refuse('agent_not_found', '{"reason": "deleted"}');
end $$;

-- A user who makes one more agent than may be (a limit of 0015; here, before the file that asks it, for between two files of an upgrade work goes on).
-- Two at the same time may both take the last place: what is bounded is the table, and no lock is worth that.
create or replace function baton.agents_refusal(p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  owner uuid := (p ->> 'ownerId')::uuid;
  given jsonb;
  most bigint;
begin
  if owner is null then return null; end if;
  select coalesce(jsonb_object_agg(l.scope, l.settings), '{}') into given from baton.limits l
  where l.tenant_id = p ->> 'tenant' and l.scope = any (array['user:*', 'user:' || owner]);
  most := coalesce(given -> ('user:' || owner) ->> 'agents', given -> 'user:*' ->> 'agents', '10000')::bigint;
  -- By the index of the owner: while the planner knows little of the table, it may take that of the tenant and read all agents there are.
  if (select count(*) from (select from baton.agents a where a.owner_id = owner and a.tenant_id || '' = p ->> 'tenant' limit most) n) < most then return null; end if;
  -- A twin may have made it, and taken the last place, since it was looked for.
  if exists (select from baton.agents a where a.tenant_id = p ->> 'tenant' and a.id = p -> 'agent' ->> 'name') then return null; end if;
  return baton.refuse('conflict', jsonb_build_object('reason', 'too_many_agents', 'most', most));
end $$;
