-- claim: an executor takes over a due agent. renew: the heartbeat, whose answer carries the halt flags.

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
