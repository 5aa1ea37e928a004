-- claim: an executor takes over a due agent. renew: the heartbeat, whose answer carries the halt flags. retry: an ended run is gone on with.

-- Takes an agent whose lease ran out: counts the crash, books what the dead epoch had reserved, and spaces repeated take-overs.
-- Take-over 1 is immediate, 2 waits 5 to 15 s, 3 waits 30 to 90 s, so that runs which only shared a process part from the culprit.
create or replace function baton.take_over(inout w baton.work, p jsonb, out wait_ms bigint) language plpgsql set search_path = '' as $$
declare
  haste numeric := coalesce((p ->> 'haste')::numeric, 1);
  jitter numeric := coalesce((p ->> 'jitter')::numeric, 0);
begin
  -- Counted from the last sign of life, which was one lease before its end.
  w.counts := coalesce(w.counts, '[]') || '[["baton_recoveries_total", {}, "", 1], ["baton_slices_total", {"outcome": "crashed"}, "", 1]]'
    || baton.observed('baton_recovery_seconds', '{}', baton.clock() - (w.a).lease_until + baton.duration((p ->> 'leaseMs')::numeric));
  w.r.crashes := (w.r).crashes + 1;
  w := baton.book_estimates(w);
  w := baton.release(w);
  wait_ms := case (w.r).crashes when 2 then (5000 + 10000 * jitter) / haste when 3 then (30000 + 60000 * jitter) / haste else 0 end;
  if (w.r).crashes > (p ->> 'maxStepCrashes')::integer then wait_ms := 0; end if;
  if wait_ms > 0 then
    w.r.wait_kind := 'retry';
    w.r.due_at := baton.clock() + baton.duration(wait_ms);
    w.r.state := 'waiting';
    w.a.lease_epoch := (w.a).lease_epoch + 1;
    w := baton.state_changed(w);
  end if;
end $$;

-- {environment, agentUid, sliceId, leaseMs, versions, settings?, jitter, haste, maxStepCrashes, maxFormat} -> {ok, opened} or why not
create or replace function baton.claim(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  x record;
  refusal json;
  crashed boolean;
  now_at timestamptz;
begin
  select a into w.a from baton.agents a where a.agent_uid = (p ->> 'agentUid')::uuid and a.environment = p ->> 'environment' for update;
  -- Under the lock: what a commit wrote that this claim has waited for is due, too.
  now_at := baton.clock();
  if not found then return baton.refuse('agent_gone'); end if;
  if (w.a).active_run is null then return baton.refuse('nothing_due'); end if;
  select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
  if (w.a).lease_owner = p ->> 'sliceId' and baton.lease_live(w.a) then
    return json_build_object('ok', true, 'now', baton.clock(), 'opened', baton.opened(w), 'outbox', '[]'::json);
  end if;
  -- The same call has been answered, and its slice is over: this is an attempt of it that was held up on its way.
  if p ->> 'sliceId' = any ((w.a).past_slices) then return baton.refuse('lease_lost'); end if;
  if baton.lease_live(w.a) then return baton.refuse('lease_live'); end if;
  if not baton.due(w.a, w.r) then
    return baton.refuse('not_due', jsonb_build_object('dueInMs', baton.millis((w.r).due_at - baton.clock())));
  end if;
  select * into x from baton.claim_switched(w);
  if x.refusal is not null then return x.refusal; end if;
  if greatest((w.a).format, (w.r).format) > (p ->> 'maxFormat')::integer then return baton.refuse('format_newer'); end if;

  refusal := baton.check_template(w, p);
  if refusal ->> 'code' <> 'template_missing' then
    -- Nothing is stored, the crash is not counted yet: the same claim comes again at once with the settings of the deployed definition.
    return refusal;
  end if;
  -- Somebody has come: what the sweep counts begins anew.
  w.r.resends := 0;
  w.r.resend_at := null;
  crashed := (w.a).lease_owner is not null;
  if crashed then
    select * into x from baton.take_over(w, p);
    w := x.w;
    if x.wait_ms > 0 then
      w := baton.finish(w);
      return baton.refuse('not_due', jsonb_build_object('dueInMs', x.wait_ms, 'outbox', w.rows));
    end if;
  end if;
  if refusal is not null then
    -- The run waits for its template and looks again; a deploy that brings it back lets it go on.
    w := baton.release(w);
    w.r.due_at := baton.clock() + baton.duration(30000 / coalesce((p ->> 'haste')::numeric, 1));
    if (w.r).wait_kind is distinct from 'template' then -- told once, not at each look
      w.r.state := 'waiting';
      w.r.wait_kind := 'template';
      w := baton.state_changed(w);
    end if;
    w := baton.finish(w);
    return baton.refuse('template_missing', jsonb_build_object('template', (w.a).template, 'outbox', w.rows));
  end if;
  if p -> 'settings' ->> 'template' = (w.a).template then w.a.settings := p -> 'settings'; end if;

  if (w.r).state = 'waiting' then
    w.r.state := 'running';
    w.r.wait_kind := null;
    w.a.state := 'working';
    w := baton.state_changed(w);
  end if;
  -- A decision that met a live lease whose executor then died has left results that nobody entered.
  w := baton.enter_results(w);
  w := baton.grant_lease(w, p ->> 'sliceId', (p ->> 'leaseMs')::numeric);
  w.r.template_last := (w.a).settings ->> 'templateVersion';
  if (w.r).slices > 1 then
    w := baton.append_event(w, 'monitor', 'resumed', jsonb_build_object('slice', (w.r).slices, 'epoch', (w.a).lease_epoch, 'crashes', (w.r).crashes,
      'strategy', case when crashed then 'crash' else 'hand_off' end, 'sealed', (select coalesce(jsonb_agg(c.call_id), '[]') from baton.tool_calls c
        where c.run_id = (w.r).run_id and c.state = 'executing' and c.effect = 'once')));
  end if;
  update baton.outbox o set sent_at = baton.clock() where o.agent_uid = (w.a).agent_uid and o.kind = 'continue' and o.sent_at is null
    and o.environment = (w.a).environment and o.due_at <= now_at;
  w := baton.finish(w);
  return json_build_object('ok', true, 'now', baton.clock(), 'opened', baton.opened(w), 'outbox', coalesce(w.rows, '[]'));
end $$;

-- {agentUid, sliceId, epoch, leaseMs, reserve?} -> {ok, flags, reserved, granted?, refusal?, alwaysAllowed} or lease_lost
create or replace function baton.renew(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '5s' as $$
declare
  w baton.work;
  x record;
  met record;
  verdict jsonb;
begin
  select a into w.a from baton.agents a where a.agent_uid = (p ->> 'agentUid')::uuid for update;
  if not found or (w.a).lease_owner is distinct from p ->> 'sliceId' or (w.a).lease_epoch <> (p ->> 'epoch')::bigint then
    return baton.lost_lease(w.a);
  end if;
  select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
  select * into met from baton.meet_switch(w);
  w := met.w;
  -- Nothing is set aside for a step that shall not start.
  select * into x from baton.reserve(w, case when not met.held and (w.r).stop_requested is distinct from 'killed' and not baton.has_expired(w)
    then nullif(p -> 'reserve', 'null') end);
  verdict := x.verdict;
  w := baton.count_calls(x.w, (verdict ->> 'reserved' = 'granted')::integer);
  if verdict ->> 'reserved' = 'granted' or (w.r).stop_requested = 'killed' then perform baton.save_run(w.r); end if;
  update baton.agents a set lease_until = baton.clock() + baton.duration((p ->> 'leaseMs')::numeric) where a.agent_uid = (w.a).agent_uid;
  select * into x from baton.close_books(w);
  verdict := coalesce(x.verdict, verdict);
  return json_build_object('ok', true, 'flags', baton.flags(w.a, w.r), 'reserved', verdict -> 'reserved', 'granted', verdict -> 'granted',
    'refusal', verdict -> 'refusal', 'alwaysAllowed', (w.a).always_allowed);
end $$;

-- A new run from the committed history of an ended one, refused while the cause stands.
create or replace function baton.retry_ended(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  w baton.work;
  old baton.runs;
  refusal json;
begin
  select a into w.a from baton.agents a where a.tenant_id = p ->> 'tenant' and a.environment = p ->> 'environment'
    and a.agent_uid = (select r.agent_uid from baton.runs r where r.run_id = p ->> 'runId') and baton.may_see(p, a.agent_uid, a.owner_id) for update;
  if not found then return baton.refuse('run_not_found'); end if;
  -- A repeat after a lost reply, also when the new run has ended by now.
  if exists (select from baton.runs r where r.run_id = p ->> 'newRunId' and r.agent_uid = (w.a).agent_uid) then
    return baton.open_answer(w, p, p ->> 'newRunId', replayed => true);
  end if;
  refusal := baton.gone_on(w, p);
  if refusal is not null then return refusal; end if;
  select * into old from baton.runs r where r.run_id = p ->> 'runId';
  if baton.is_open(old.state) then return baton.refuse('run_open', jsonb_build_object('state', old.state)); end if;
  refusal := baton.retry_refusal(w, old, p);
  if refusal is not null then return refusal; end if;
  if baton.expires_in(w.a, old) <= 0 then return baton.refuse('authority_expired', jsonb_build_object('expiresAt', least((w.a).expires_at, old.expires_at))); end if;
  -- It was stopped while it waited in the queue: its message never entered the history, so there is nothing to go on from.
  if old.opening_seq is null then return baton.refuse('conflict', jsonb_build_object('reason', 'never_begun')); end if;
  if (w.a).active_run is null and baton.is_answered((w.a).agent_uid) then
    return baton.refuse('nothing_to_retry', jsonb_build_object('state', old.state, 'stopReason', old.stop_reason));
  end if;
  refusal := coalesce(baton.check_template(w, p), baton.budget_refusal(w, p));
  if refusal is not null then return refusal; end if;
  if p -> 'settings' ->> 'template' = (w.a).template then w.a.settings := p -> 'settings'; end if;
  refusal := coalesce(baton.template_refusal(p, (w.a).settings), baton.concurrency_refusal(w, p), baton.queue_refusal(w));
  if refusal is not null then return refusal; end if;
  insert into baton.runs (run_id, agent_uid, tenant_id, environment, owner_id, created_by, state, cause, cause_id, retry_of, limits, metadata, webhook, template_opened, opening_seq, traceparent)
  values (p ->> 'newRunId', (w.a).agent_uid, (w.a).tenant_id, (w.a).environment, (w.a).owner_id, p ->> 'caller', 'queued', 'retry', old.run_id, old.run_id,
    (w.a).settings -> 'limits' || (select coalesce(jsonb_object_agg(l.key, least(l.value::numeric, ((w.a).settings -> 'limits' ->> l.key)::numeric)), '{}') from jsonb_each(old.limits) l),
    old.metadata, old.webhook, (w.a).settings ->> 'templateVersion', old.opening_seq, old.traceparent);
  perform baton.narrow_retry(p ->> 'newRunId', old);
  if (w.a).active_run is null then
    select r into w.r from baton.runs r where r.run_id = p ->> 'newRunId';
    w := baton.begin_run(w, null);
  else
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    w.a.last_inbox := (w.a).last_inbox + 1;
    w.a.queued := (w.a).queued + 1;
    insert into baton.inbox (agent_uid, position, tenant_id, owner_id, created_by, run_id, mode, kind, content, bytes, est_tokens, limits)
    values ((w.a).agent_uid, (w.a).last_inbox, (w.a).tenant_id, (w.a).owner_id, p ->> 'caller', p ->> 'newRunId', 'enqueue', 'retry', '""', 0, 0, '{}');
  end if;
  w := baton.finish(w);
  return baton.open_answer(w, p, p ->> 'newRunId');
end $$;

create or replace function baton.retry_run(p jsonb) returns json language plpgsql set search_path = '' set lock_timeout = '3s' as $$
begin
  if p -> 'idempotency' is null or p -> 'idempotency' = 'null' then return baton.retry_ended(p); end if;
  return coalesce(baton.take_key(p), baton.keep_key(p, baton.retry_ended(p)));
end $$;
