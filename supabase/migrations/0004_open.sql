-- open: accept a message durably, and where the agent is free and the caller wants it, hand out the lease with all that the first step needs.

-- Without a search_path of its own, so that the planner puts it in place: a window calls it hundreds of times. It names everything in full.
create or replace function baton.message_json(m baton.messages) returns json language sql stable as $$
  select pg_catalog.json_build_object('seq', m.seq, 'runId', m.run_id, 'role', m.role, 'kind', m.kind, 'content', m.content, 'estTokens', m.est_tokens, 'at', m.created_at)
$$;

-- Where the loaded window begins: at the first user message from which on there is at most 1 MB, so never between a call and its
-- result; the last user message always stays.
create or replace function baton.window_start(uid uuid, from_seq bigint) returns bigint language plpgsql stable set search_path = '' as $$
declare
  bytes bigint;
  first_seq bigint;
begin
  select sum(m.bytes), min(m.seq) filter (where m.role = 'user') into bytes, first_seq from baton.messages m where m.agent_uid = uid and m.seq >= from_seq;
  -- Most windows are far smaller: then nobody adds up where the megabyte ends.
  if bytes is null or bytes <= 1048576 then return coalesce(first_seq, from_seq); end if;
  return (
    select coalesce(min(y.seq) filter (where y.total <= 1048576), max(y.seq), from_seq) from (
    select m.seq, m.role, sum(m.bytes) over (order by m.seq desc) as total from baton.messages m where m.agent_uid = uid and m.seq >= from_seq) y
  where y.role = 'user');
end $$;

-- {model: milliseconds until its gate opens}; one row per model that has ever answered 429 in this environment.
create or replace function baton.closed_gates(env text) returns json language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(json_object_agg(g.model, baton.millis(g.until - baton.clock())), '{}') from baton.gates g where g.environment = env and g.until > baton.clock());
end $$;

-- What an executor needs to decide and act: made by open and claim. Bounded by the window's own limits and by 1 MB.
create or replace function baton.opened(w baton.work) returns json language plpgsql stable set search_path = '' as $$
declare
  -- Once, whatever the plan: in the query it would be asked for each row that is looked at.
  from_seq bigint := baton.window_start((w.a).agent_uid, (w.a).window_from);
  -- Another run's where this one retries it.
  opening baton.messages;
begin
  select * into opening from baton.messages m where m.agent_uid = (w.a).agent_uid and m.seq = (w.r).opening_seq;
  return (
    select json_build_object('tenantId', (w.a).tenant_id, 'agentUid', (w.a).agent_uid, 'agentName', (w.a).id, 'userId', (w.a).owner_id,
    'metadata', (w.a).metadata, 'narrowing', (w.a).narrowing, 'alwaysAllowed', (w.a).always_allowed, 'settings', (w.a).settings, 'windowFrom', (w.a).window_from, 'lastSeq', (w.a).last_event_seq,
    'epoch', (w.a).lease_epoch, 'lastCommit', (w.a).last_commit, 'leaseMs', baton.millis((w.a).lease_until - baton.clock()),
    'run', json_build_object('id', (w.r).run_id, 'state', (w.r).state, 'step', (w.r).step, 'modelCalls', (w.r).model_calls,
      'toolCalls', (w.r).tool_calls, 'attempt', (w.r).attempt, 'crashes', (w.r).crashes, 'cuts', (w.r).cuts, 'emptyAnswers', (w.r).empty_answers,
      'windowRetries', (w.r).window_retries, 'modelIndex', (w.r).model_index, 'slices', (w.r).slices, 'limits', (w.r).limits, 'costMicros', (w.r).cost_micros,
      'reservedMicros', (w.r).reserved_micros, 'usage', (w.r).usage, 'workMs', (w.r).work_ms, 'metadata', (w.r).metadata, 'narrowing', (w.r).narrowing, 'traceparent', (w.r).traceparent),
    'opening', opening.content,
    'flags', baton.flags(w.a, w.r),
    'gates', baton.closed_gates((w.a).environment),
    'window', (select coalesce(json_agg(baton.window_json(m, opening.run_id) order by m.seq), '[]') from baton.messages m
      where m.agent_uid = (w.a).agent_uid and m.seq >= from_seq),
    'kept', (select coalesce(json_agg(baton.window_json(m, opening.run_id) order by m.seq), '[]') from baton.messages m
      where m.agent_uid = (w.a).agent_uid and m.role = 'user' and m.seq < (w.a).window_from and m.seq <= ((w.a).settings -> 'window' ->> 'keepFirst')::bigint),
    'calls', (select coalesce(json_agg(baton.call_json(c) order by c.step, c.index), '[]') from baton.tool_calls c
      where c.run_id = (w.r).run_id and not c.entered),
    'state', (select coalesce(json_object_agg(s.key, s.value), '{}') from baton.agent_state s where s.agent_uid = (w.a).agent_uid)));
end $$;

-- Gives the lease to a slice: a new epoch, so that whoever held it before can commit nothing more.
create or replace function baton.grant_lease(w baton.work, slice text, lease_ms numeric) returns baton.work language plpgsql set search_path = '' as $$
begin
  w.a.lease_epoch := (w.a).lease_epoch + 1;
  w.a.lease_owner := slice;
  w.a.lease_until := baton.clock() + baton.duration(lease_ms);
  w.r.slices := (w.r).slices + 1;
  return w;
end $$;

-- The agent's last event when a message was accepted: what came before it in a run that it steers is not its sender's.
alter table baton.idempotency add column if not exists from_seq bigint;

-- The answer to a message: the run as it stands, and the executor's part when a lease was given. from_seq: of a message that was accepted before.
drop function if exists baton.open_answer(baton.work, text, json, text, boolean, boolean);
drop function if exists baton.open_answer(baton.work, text, json, jsonb, boolean, boolean);
create or replace function baton.open_answer(w baton.work, p jsonb, run_id text, opened json default null, verdict jsonb default null,
  replayed boolean default false, interrupted boolean default false, from_seq bigint default null) returns json language plpgsql set search_path = '' as $$
declare
  target baton.runs := w.r;
  reader text := baton.reader_of(p);
begin
  if target.run_id is distinct from open_answer.run_id then select * into target from baton.runs r where r.run_id = open_answer.run_id; end if;
  return json_build_object('ok', true, 'now', baton.clock(), 'tenant', (w.a).tenant_id, 'agentUid', (w.a).agent_uid, 'template', (w.a).template,
    'run', baton.run_json(target, w.a), 'outbox', coalesce(w.rows, '[]'), 'opened', opened, 'reserved', verdict -> 'reserved', 'granted', verdict -> 'granted',
    'refusal', verdict -> 'refusal', 'replayed', replayed, 'halt', interrupted, 'reader', reader, 'mayRead', baton.told_of(reader, target),
    'fromSeq', coalesce(from_seq, (w.a).last_event_seq), 'blockedBy', case when target.state = 'queued' and (w.a).state = 'paused'
      then baton.head_waits(w.a, reader) || jsonb_build_object('runId', (w.a).active_run) end);
end $$;

create or replace function baton.refuse(code text, details jsonb default '{}') returns json language plpgsql stable set search_path = '' as $$
begin
  return (jsonb_build_object('ok', false, 'code', code) || details)::json;
end $$;

-- The agent of the name, locked; made from the sent settings if it does not exist. Null agent_uid: the answer says why not.
create or replace function baton.lock_agent(inout w baton.work, p jsonb, out refusal json, out created boolean) language plpgsql set search_path = '' as $$
begin
  created := false;
  -- A name that is another user's is not found, and not locked either.
  select a into w.a from baton.agents a where a.tenant_id = p ->> 'tenant' and a.id = p -> 'agent' ->> 'name' and baton.may_see(p, a.agent_uid, a.owner_id) for update;
  if not found then
    if (p -> 'agent' ->> 'mustExist')::boolean then refusal := baton.refuse('precondition_failed'); return; end if;
    if not exists (select from baton.tenants t where t.id = p ->> 'tenant' and t.environment = p ->> 'environment') then
      refusal := baton.refuse('tenant_missing', jsonb_build_object('tenant', p ->> 'tenant'));
      return;
    end if;
    if p -> 'settings' is null or p -> 'settings' = 'null' then refusal := baton.refuse('template_required'); return; end if;
    refusal := coalesce(baton.template_refusal(p, p -> 'settings'), baton.agents_refusal(p));
    if refusal is not null then return; end if;
    insert into baton.agents (agent_uid, tenant_id, environment, id, owner_id, created_by, template, settings, metadata, overrides, webhook)
    values ((p -> 'agent' ->> 'uid')::uuid, p ->> 'tenant', p ->> 'environment', p -> 'agent' ->> 'name', (p ->> 'ownerId')::uuid, p ->> 'caller',
      p -> 'settings' ->> 'template', p -> 'settings', coalesce(p -> 'agent' -> 'metadata', '{}'), coalesce(p -> 'agent' -> 'overrides', '{}'),
      nullif(p -> 'agent' -> 'webhook', 'null'))
    -- Of any unique index: a twin of the same call brings the same agent_uid.
    on conflict do nothing;
    created := found;
    select a into w.a from baton.agents a where a.tenant_id = p ->> 'tenant' and a.id = p -> 'agent' ->> 'name' and baton.may_see(p, a.agent_uid, a.owner_id) for update;
  end if;
  if (w.a).environment is distinct from p ->> 'environment' then refusal := baton.refuse('agent_not_found'); return; end if;
  refusal := baton.check_template(w, p);
  if refusal is null and p -> 'settings' ->> 'template' = (w.a).template then w.a.settings := p -> 'settings'; end if;
  refusal := coalesce(refusal, baton.template_refusal(p, (w.a).settings));
end $$;

-- The deployed definition must be the one the agent row was resolved from; a changed template costs one extra trip once.
create or replace function baton.check_template(w baton.work, p jsonb) returns json language plpgsql stable set search_path = '' as $$
declare
  deployed text := p -> 'versions' ->> (w.a).template;
begin
  if p -> 'agent' ->> 'template' is not null and p -> 'agent' ->> 'template' <> (w.a).template then
    return baton.refuse('conflict', jsonb_build_object('reason', 'other_template', 'template', (w.a).template));
  end if;
  if deployed is null then return baton.refuse('template_missing', jsonb_build_object('template', (w.a).template)); end if;
  if deployed <> (w.a).settings ->> 'templateVersion' and p -> 'settings' ->> 'template' is distinct from (w.a).template then
    return baton.refuse('template_changed', jsonb_build_object('template', (w.a).template));
  end if;
  return null;
end $$;

-- A limit of the message may only lower the template's.
create or replace function baton.limit_above(settings jsonb, limits jsonb) returns text language plpgsql immutable set search_path = '' as $$
begin
  if nullif(limits, 'null') is null then return null; end if;
  return (
    select l.key from jsonb_each(limits) l where l.value::numeric > (settings -> 'limits' ->> l.key)::numeric limit 1);
end $$;

-- A call whose reply was lost finds its run and, while the slice still holds it, its lease. A reservation that was refused stays so:
-- 'none' makes the executor ask for it before the call.
create or replace function baton.repeat_open(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  if (w.a).lease_owner = p -> 'execute' ->> 'sliceId' and (w.a).active_run = (w.r).run_id then
    return baton.open_answer(w, p, (w.r).run_id, baton.opened(w), baton.repeated_verdict(p -> 'execute' -> 'reserve' ->> 'id'));
  end if;
  return baton.open_answer(w, p, (w.r).run_id, replayed => true,
    interrupted => p ->> 'onBusy' = 'interrupt' and (w.r).state = 'queued' and baton.lease_live(w.a));
end $$;

-- Whether a new message may come in at all, whatever its agent is doing: kills, wider budgets, limits of runs at a time.
create or replace function baton.admit(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return coalesce(baton.switch_refusal(w, p), baton.narrowing_refusal(w, p), baton.budget_refusal(w, p), baton.concurrency_refusal(w, p));
end $$;

create or replace function baton.open_message(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  w baton.work;
  x record;
  busy text := p ->> 'onBusy';
  limits jsonb;
  new_run text := p -> 'run' ->> 'id';
  message jsonb := p -> 'message';
  earlier baton.idempotency;
  halt boolean := false;
  fresh baton.runs;
  opened json;
  answer json;
  refusal json;
begin
  x := baton.lock_agent(w, p);
  if x.refusal is not null then return x.refusal; end if;
  w := x.w;
  -- Looked at under the lock: a twin that is still in flight has committed by now, and its run is found.
  select r into w.r from baton.runs r where r.run_id = new_run and r.agent_uid = (w.a).agent_uid;
  if found then return baton.repeat_open(w, p); end if;
  select * into earlier from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = 'baton:steered' and i.key = new_run;
  if found then
    select r into w.r from baton.runs r where r.run_id = earlier.run_id;
    if found then return baton.open_answer(w, p, earlier.run_id, replayed => true, from_seq => earlier.from_seq); end if;
    -- Its run went with the agent (remove_agent): what comes late does not make the agent anew.
    if x.created then delete from baton.agents a where a.agent_uid = (w.a).agent_uid; end if;
    return baton.refuse('agent_not_found');
  end if;
  refusal := baton.gone_on(w, p);
  if refusal is not null then return refusal; end if;
  if baton.limit_above((w.a).settings, p -> 'run' -> 'limits') is not null then
    -- A refused first message leaves no agent behind.
    if x.created then delete from baton.agents a where a.agent_uid = (w.a).agent_uid; end if;
    return baton.refuse('limit_above_template', jsonb_build_object('limit', baton.limit_above((w.a).settings, p -> 'run' -> 'limits'), 'limits', (w.a).settings -> 'limits'));
  end if;
  refusal := baton.admit(w, p);
  if refusal is not null then
    if x.created then delete from baton.agents a where a.agent_uid = (w.a).agent_uid; end if;
    return refusal;
  end if;
  limits := (w.a).settings -> 'limits' || coalesce(nullif(p -> 'run' -> 'limits', 'null'), '{}');
  limits := baton.narrowed_limits(limits, (w.a).narrowing, p -> 'run' -> 'narrowing');
  busy := coalesce(busy, (w.a).settings ->> 'onBusy');
  w.r := null;
  if (w.a).active_run is not null then
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    if busy = 'steer' and baton.is_apart(w.r, p -> 'run') then busy := 'enqueue'; end if;
    if busy = 'reject' then return baton.refuse('agent_busy', jsonb_build_object('runId', (w.a).active_run, 'state', (w.r).state)
      || case when (w.a).state = 'paused' then baton.head_waits(w.a, baton.reader_of(p)) else '{}' end); end if;
    refusal := baton.queue_refusal(w);
    if refusal is not null then return refusal; end if;
    w.a.last_inbox := (w.a).last_inbox + 1;
    w.a.queued := (w.a).queued + 1;
    insert into baton.inbox (agent_uid, position, tenant_id, owner_id, created_by, run_id, mode, kind, content, bytes, est_tokens, limits, metadata, webhook)
    values ((w.a).agent_uid, (w.a).last_inbox, (w.a).tenant_id, (w.a).owner_id, p ->> 'caller', new_run, busy, coalesce(message ->> 'kind', 'message'), (message -> 'content')::json,
      (message ->> 'bytes')::integer, (message ->> 'estTokens')::integer, limits, coalesce(p -> 'run' -> 'metadata', '{}'), nullif(p -> 'run' -> 'webhook', 'null'));
  end if;
  if (w.a).active_run is not null and busy = 'steer' then
    -- Steered into the running run: that run's id is the answer; a run of its own is made only if it comes too late.
    -- It has no run that a repeat could find, so its id is kept beside the keys and for as long as they are.
    insert into baton.idempotency (tenant_id, caller, key, hash, run_id, agent_uid, from_seq)
    values (p ->> 'tenant', 'baton:steered', new_run, jsonb_build_array(baton.line_of(p), p -> 'idempotency' ->> 'key'), (w.a).active_run, (w.a).agent_uid, (w.a).last_event_seq);
    new_run := (w.a).active_run;
  else
    -- One that begins at once (begin_run, below) is written as it will be where an index looks: the row need not enter them twice.
    insert into baton.runs (run_id, agent_uid, tenant_id, environment, owner_id, created_by, state, started_at, due_at, cause, limits, metadata, webhook, template_opened, traceparent)
    values (new_run, (w.a).agent_uid, (w.a).tenant_id, (w.a).environment, (w.a).owner_id, p ->> 'caller', case when (w.a).active_run is null then 'running' else 'queued' end,
      case when (w.a).active_run is null then baton.clock() end, case when (w.a).active_run is null then baton.clock() end, 'message', limits,
      coalesce(p -> 'run' -> 'metadata', '{}'), nullif(p -> 'run' -> 'webhook', 'null'), (w.a).settings ->> 'templateVersion', p -> 'run' ->> 'traceparent')
    returning * into fresh;
    if p -> 'run' -> 'narrowing' is not null then fresh := baton.narrow_run(new_run, p); end if;
  end if;

  if (w.a).active_run is null then
    w.r := fresh;
    w := baton.begin_run(w, message);
    -- Held: the message is accepted, and nobody executes it.
    if p -> 'execute' is not null and p -> 'execute' <> 'null' and (w.r).due_at is not null then
      w := baton.grant_lease(w, p -> 'execute' ->> 'sliceId', (p -> 'execute' ->> 'leaseMs')::numeric);
      x := baton.reserve(w, case when baton.own_model(w) then baton.first_reservation(w, p -> 'execute' -> 'reserve') end);
      w := baton.save_work(baton.count_calls(x.w, (x.verdict ->> 'reserved' = 'granted')::integer));
      -- After the call was counted: what is left of the agent's rate is among the flags.
      opened := baton.opened(w);
      answer := baton.open_answer(w, p, new_run, opened, x.verdict);
      -- Counters are touched last, for whoever else of the tenant waits for them.
      x := baton.close_books(w);
      return case when x.verdict is null then answer else baton.open_answer(x.w, p, new_run, opened, x.verdict) end;
    end if;
  elsif busy = 'interrupt' then
    halt := baton.lease_live(w.a);
    w := baton.stop_run(w, 'interrupted', 'A message with onBusy interrupt was accepted.');
  end if;
  w := baton.finish(w);
  return baton.open_answer(w, p, new_run, interrupted => halt);
end $$;

-- Idempotency: the key is a row of the same transaction. A twin waits for it (lock_timeout 3 s, then 55P03 and 503 for the caller).
-- Null where the key is new, else the answer that a repeat gets: also to the successor of the API key that sent it first.
create or replace function baton.take_key(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  k baton.idempotency;
  w baton.work;
begin
  insert into baton.idempotency (tenant_id, caller, key, hash) values (p ->> 'tenant', baton.line_of(p), p -> 'idempotency' ->> 'key', p -> 'idempotency' ->> 'hash')
  on conflict do nothing;
  if found then return baton.gone_refusal(p); end if;
  select * into k from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = p -> 'idempotency' ->> 'key';
  if k.hash <> p -> 'idempotency' ->> 'hash' then return baton.refuse('idempotency_mismatch'); end if;
  select a into w.a from baton.agents a where a.agent_uid = k.agent_uid and a.environment = p ->> 'environment';
  if not found then return baton.refuse('agent_not_found'); end if;
  -- The same process asks again because the reply was lost: it gets its lease. Anybody else gets the run's present state.
  if (w.a).lease_owner = p -> 'execute' ->> 'sliceId' then return baton.open_message(p); end if;
  return baton.open_answer(w, p, k.run_id, replayed => true, from_seq => k.from_seq);
end $$;

-- A refusal leaves no key behind, so that the same request may be made again when its cause is gone.
create or replace function baton.keep_key(p jsonb, answer json) returns json language plpgsql set search_path = '' as $$
begin
  if not (answer ->> 'ok')::boolean then
    delete from baton.idempotency i where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = p -> 'idempotency' ->> 'key';
  else
    update baton.idempotency i set run_id = answer -> 'run' ->> 'id', agent_uid = (answer ->> 'agentUid')::uuid, from_seq = (answer ->> 'fromSeq')::bigint
    where i.tenant_id = p ->> 'tenant' and i.caller = baton.line_of(p) and i.key = p -> 'idempotency' ->> 'key';
  end if;
  return answer;
end $$;

create or replace function baton.open(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '3s' as $$
begin
  if p -> 'idempotency' is null or p -> 'idempotency' = 'null' then return baton.open_message(p); end if;
  return coalesce(baton.take_key(p), baton.keep_key(p, baton.open_message(p)));
end $$;
