-- Kill and hold (2-run-contract, invariant 10): a switch is a row; open, claim, commit, heartbeat and reservation read it.
create table if not exists baton.switches (
  environment text not null,
  -- Empty for the switch that covers every tenant of the environment.
  tenant_id text not null default '',
  scope text not null check (scope ~ '^(global|tenant|(run|agent|user|key):.+)$'),
  mode text not null check (mode in ('kill', 'hold')),
  reason text not null,
  actor text not null,
  created_at timestamptz not null default baton.clock(),
  primary key (environment, tenant_id, scope),
  check ((tenant_id = '') = (scope = 'global'))
);

-- What a switch has left to do, in batches: end the runs without an executor (kill), let the held ones go on (lift). A row stays for a
-- minute at least, until a whole round has found every agent: a transaction that had not seen the change may have committed since.
create table if not exists baton.switch_work (
  environment text not null,
  tenant_id text not null,
  scope text not null,
  kind text not null check (kind in ('kill', 'lift')),
  cursor uuid,
  skipped boolean not null default false,
  round_at timestamptz not null default baton.clock(),
  created_at timestamptz not null default baton.clock(),
  primary key (environment, tenant_id, scope, kind)
);

-- Which switch has ended the run: kept with it, for the switch may have been lifted since.
alter table baton.runs add column if not exists stopped_by jsonb;
-- Open runs; both instants change only where the row is rewritten for other reasons anyway (its begin and its end).
create index if not exists runs_open on baton.runs (environment, tenant_id, agent_uid) where ended_at is null;

create or replace function baton.switch_json(s baton.switches) returns jsonb language plpgsql stable set search_path = '' as $$
begin
  return case when s.scope is not null then
    jsonb_build_object('scope', s.scope, 'mode', s.mode, 'reason', s.reason, 'actor', s.actor, 'createdAt', s.created_at) end;
end $$;

-- The switch that applies to a run, or nulls: a kill before a hold, then the first that was set.
create or replace function baton.switch_of(a baton.agents, r baton.runs) returns baton.switches language plpgsql stable set search_path = '' as $$
declare
  s baton.switches;
begin
  -- The common case is that nothing is switched off: it costs a look at an empty table.
  if not exists (select from baton.switches) then return s; end if;
  select * into s from baton.switches x where x.environment = a.environment and x.tenant_id in ('', a.tenant_id) and x.scope = any (baton.scopes_of(a, r))
  order by x.mode <> 'kill', x.created_at limit 1;
  return s;
end $$;

create or replace function baton.switch_mode(a baton.agents, r baton.runs) returns text language plpgsql stable set search_path = '' as $$
begin
  return (baton.switch_of(a, r)).mode;
end $$;

-- The kill sticks to the run: it ends as killed, also if the switch is lifted before its executor has come to that.
create or replace function baton.mark_killed(r baton.runs, s baton.switches) returns baton.runs language plpgsql set search_path = '' as $$
begin
  r.stop_requested := 'killed';
  r.stop_note := s.reason;
  r.stopped_by := baton.switch_json(s) - 'mode';
  update baton.runs t set stopped_by = r.stopped_by where t.run_id = r.run_id;
  return r;
end $$;

-- A commit or heartbeat meets the switch: a kill is noted on the run, a hold is answered.
create or replace function baton.meet_switch(inout w baton.work, out held boolean) language plpgsql set search_path = '' as $$
declare
  s baton.switches := baton.switch_of(w.a, w.r);
begin
  held := s.mode = 'hold' and (w.r).stop_requested is null;
  if s.mode = 'kill' and (w.r).stop_requested is distinct from 'killed' then w.r := baton.mark_killed(w.r, s); end if;
  held := coalesce(held, false);
end $$;

-- No executor is due for a held run until somebody lifts the switch.
create or replace function baton.hold_run(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
begin
  w := baton.release(w);
  w.r.state := 'waiting';
  w.r.wait_kind := 'hold';
  w.r.due_at := null;
  w.a.state := 'paused';
  w := baton.append_event(w, 'monitor', 'held', baton.switch_json(baton.switch_of(w.a, w.r)));
  return baton.state_changed(w);
end $$;

-- What a killed run says of its end, in its error, as an event and to the auditor.
create or replace function baton.tell_killed(w baton.work) returns baton.work language plpgsql set search_path = '' as $$
declare
  why jsonb := coalesce((w.r).stopped_by, '{}');
begin
  w.r.error := jsonb_strip_nulls(jsonb_build_object('code', 'killed', 'scope', why -> 'scope', 'reason', why -> 'reason', 'message',
    format('The run was killed (%s: %s); what had been committed is kept.', why ->> 'scope', why ->> 'reason')));
  perform baton.audit_run(w, jsonb_build_object('action', 'run.kill', 'decision', 'recorded', 'code', 'killed', 'actor', coalesce(why ->> 'actor', 'system'),
    'reason', why -> 'reason', 'scope', why -> 'scope'));
  w.counts := coalesce(w.counts, '[]') || baton.observed('baton_kill_propagation_seconds', '{}', baton.clock() - (why ->> 'createdAt')::timestamptz);
  return baton.append_event(w, 'monitor', 'killed', why);
end $$;

-- Messages are refused where a kill covers them; a held one is accepted, and waits.
create or replace function baton.switch_refusal(w baton.work, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return baton.killed_refusal(w, p, p -> 'run' ->> 'id', 'message.accept');
end $$;

create or replace function baton.killed_refusal(w baton.work, p jsonb, new_run text, action text) returns json language plpgsql set search_path = '' as $$
declare
  r baton.runs;
  s baton.switches;
begin
  if not exists (select from baton.switches) then return null; end if;
  r.run_id := new_run;
  r.owner_id := (w.a).owner_id;
  r.created_by := p ->> 'caller';
  return baton.refuse_killed(w, p, baton.switch_of(w.a, r), action);
end $$;

create or replace function baton.refuse_killed(w baton.work, p jsonb, s baton.switches, action text) returns json language plpgsql set search_path = '' as $$
begin
  if s.mode is distinct from 'kill' then return null; end if;
  return baton.refuse('killed', jsonb_build_object('scope', s.scope, 'reason', s.reason, 'since', s.created_at));
end $$;

-- A retry is refused while the cause stands: whatever covers the new run, or what has killed the old one.
create or replace function baton.retry_refusal(w baton.work, old baton.runs, p jsonb) returns json language plpgsql set search_path = '' as $$
begin
  return coalesce(baton.killed_refusal(w, p, p ->> 'newRunId', 'run.retry'),
    case when old.state = 'killed' then baton.refuse_killed(w, p, baton.switch_of(w.a, old), 'run.retry') end);
end $$;

-- A claim meets the switch before it looks at format and template: what no build here could run is killed and held all the same.
create or replace function baton.claim_switched(inout w baton.work, out refusal json) language plpgsql set search_path = '' as $$
declare
  s baton.switches := baton.switch_of(w.a, w.r);
begin
  if s.mode = 'kill' then
    w.r := baton.mark_killed(w.r, s);
    w := baton.finish(baton.stop_run(w, 'killed', s.reason));
    refusal := baton.refuse('killed', jsonb_build_object('scope', s.scope, 'outbox', coalesce(w.rows, '[]')));
  elsif s.mode = 'hold' and (w.r).stop_requested is null then
    -- Whoever held it before commits nothing more, and what it had reserved is booked.
    w.a.lease_epoch := (w.a).lease_epoch + 1;
    w := baton.finish(baton.hold_run(baton.book_estimates(w)));
    refusal := baton.refuse('held', jsonb_build_object('scope', s.scope, 'outbox', coalesce(w.rows, '[]')));
  end if;
end $$;

-- A queued run that a kill covers ends without having begun.
create or replace function baton.drop_if_killed(inout w baton.work, queued baton.runs, out dropped boolean) language plpgsql set search_path = '' as $$
declare
  s baton.switches := baton.switch_of(w.a, queued);
begin
  dropped := coalesce(s.mode = 'kill', false);
  if dropped then w := baton.drop_queued(w, baton.mark_killed(queued, s), 'killed', s.reason); end if;
end $$;

-- Ends what the switches kill of an agent (its row is locked) and lets go on what none holds any more. A live executor ends its run itself, but the kill
-- is noted on the run at once: it holds, too, where the switch is lifted before that executor has looked, or it is dead and its lease is not over.
create or replace function baton.apply_switches(inout w baton.work, out ended integer, out resumed integer) language plpgsql set search_path = '' as $$
declare
  s baton.switches;
  q baton.runs;
  x record;
begin
  ended := 0;
  resumed := 0;
  for q in select * from baton.runs t where t.agent_uid = (w.a).agent_uid and t.ended_at is null and t.state = 'queued' order by t.run_id loop
    select * into x from baton.drop_if_killed(w, q);
    w := x.w;
    ended := ended + x.dropped::integer;
  end loop;
  if (w.a).active_run is not null then
    s := baton.switch_of(w.a, w.r);
    if s.mode = 'kill' and baton.lease_live(w.a) then
      if (w.r).stop_requested is distinct from 'killed' then
        w.r := baton.mark_killed(w.r, s);
        perform baton.save_run(w.r);
      end if;
    elsif s.mode = 'kill' then
      w.r := baton.mark_killed(w.r, s);
      w := baton.stop_run(w, 'killed', s.reason);
      ended := ended + 1;
    elsif s.mode is null and not baton.lease_live(w.a) and (w.r).wait_kind = 'hold' and (w.r).due_at is null then
      w.r.due_at := baton.clock();
      resumed := 1;
    end if;
  end if;
  -- The caller tells the counters: of all its agents together, in their order.
  if ended + resumed > 0 then w := baton.save_work(w); end if;
end $$;
