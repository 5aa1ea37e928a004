-- The sweeper and the outbox: how what is due is found when a message about it was lost.

-- {ids} the clock has taken them. Also called for rows sent twice: it changes nothing then. A row that somebody holds is being marked or
-- deleted by them, or is sent once more.
create or replace function baton.outbox_sent(p jsonb) returns json language sql set search_path = '' as $$
  with sent as (
    update baton.outbox o set sent_at = baton.clock() where o.id = any (array(
      select x.id from baton.outbox x where x.id in (select jsonb_array_elements_text(p -> 'ids')) and x.sent_at is null for update skip locked)) returning 1
  ) select json_build_object('ok', true, 'sent', (select count(*) from sent))
$$;

-- Who was sent a fourth time is taken for stuck, and stands by itself. A number, for the planner would make another condition of `(resends > 3) = false`.
drop index if exists baton.runs_to_resend_in_turn; -- of an earlier state of this repository
create index if not exists runs_to_resend_by_turn on baton.runs (environment, tenant_id, ((resends > 3)::integer), greatest(due_at, resend_at)) where due_at is not null;
create index if not exists runs_resent on baton.runs (environment, resend_at) where resends > 0 and due_at is not null;
-- When the clock's own sweep was: what sweeps beside requests passes it over no more.
alter table baton.sweeps add column if not exists cron_swept_at timestamptz;

-- How many runs, up to `most`, were sent anew, are still to be claimed, and not yet to be sent again: what Inngest has in hand, as far as anybody can tell. One that was sent a fourth
-- time is taken for stuck, and holds no other up.
create or replace function baton.resent(env text, most integer) returns integer language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
begin
  return (select count(*) from (select from baton.runs r where r.environment = env and r.resends between 1 and 3 and r.due_at is not null and r.resend_at > now_at limit most) x);
end $$;

-- Due runs without a live lease whose last continuation is older than resendMs get a new row with a new event id
-- (Inngest drops a repeated id for 24 h even when what it started has failed for good). One far in the future belongs to a wait that was cut short.
-- Whoever was looked at goes behind the others, and what is not claimed is sent ever less often: it may be lost, or in a long queue, or nobody can take it.
drop function if exists baton.sweep_runs(text, interval, integer);
create or replace function baton.sweep_runs(env text, resend interval, longest interval, most integer, allowed integer, max_format integer, out rows jsonb, out more boolean)
language plpgsql set search_path = '' as $$
declare
  w baton.work;
  uid uuid;
  times integer;
  looked integer := 0;
  sent integer := 0;
  -- In a variable: a volatile function in a condition keeps Postgres from using the index for it.
  now_at timestamptz := baton.clock();
begin
  rows := '[]';
  more := false;
  -- In turns over the tenants, the first few of each: one with a hundred thousand due runs keeps nobody else waiting, and is not read through. What is stuck has
  -- each fourth place, so that however much of it there is, what was lost just now is found.
  -- Whether a run is due (baton.due) is decided under its agent's lock; here it stands in plain words, for the sake of speed.
  for uid in
    with recursive tenants as (
      (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null and x.tenant_id > t.tenant_id order by x.tenant_id limit 1)
      from tenants t where t.tenant_id is not null
    )
    select q.agent_uid from tenants t cross join lateral (
      select z.agent_uid, z.look_at, row_number() over (partition by s.stuck order by z.look_at) * (1 + 3 * s.stuck) as turn from (values (0), (1)) s(stuck) cross join lateral (
        select r.agent_uid, greatest(r.due_at, r.resend_at) as look_at from baton.runs r join baton.agents a using (agent_uid)
        where r.environment = env and r.tenant_id = t.tenant_id and (r.resends > 3)::integer = s.stuck and r.due_at is not null and greatest(r.due_at, r.resend_at) <= now_at
          and (a.lease_owner is null or a.lease_until <= now_at) and (a.continued_at between now_at - resend and now_at + resend) is not true
        order by greatest(r.due_at, r.resend_at) limit most) z) q
    order by q.turn, q.look_at limit most
  loop
    more := sent >= allowed;
    exit when more;
    select a into w.a from baton.agents a where a.agent_uid = uid for update skip locked;
    if not found then continue; end if;
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    if (w.r).run_id is null or not baton.due(w.a, w.r) or (w.r).resend_at > now_at then continue; end if;
    looked := looked + 1;
    times := (w.r).resends;
    w.rows := null;
    if greatest((w.a).format, (w.r).format) > max_format then
      -- Newer code wrote it: no claim of this one could take it, and each costs an execution.
      w.r.resend_at := now_at + longest;
    elsif exists (select from baton.outbox o where o.agent_uid = uid and o.kind = 'continue' and o.due_at <= now_at + resend and (o.sent_at is null or o.sent_at > now_at - resend)) then
      -- Its continuation is still to be sent (baton.unsent), or was a moment ago: another one would cost a second execution.
      w.r.resend_at := now_at + resend;
    else
      w := baton.write_continue(w, (w.r).run_id, baton.clock());
      update baton.agents a set continued_at = (w.a).continued_at where a.agent_uid = uid;
      w.r.resends := times + 1;
      w.r.resend_at := now_at + least(longest, resend * power(2, least(times + 1, 16)));
      rows := rows || w.rows;
      sent := sent + 1;
    end if;
    update baton.runs r set resends = (w.r).resends, resend_at = (w.r).resend_at where r.run_id = (w.r).run_id;
  end loop;
  more := more or looked >= most;
end $$;

-- Rows that were committed and never sent. They keep their id: nobody has taken them yet, or the taking was not marked.
create or replace function baton.unsent(env text, resend interval, most integer) returns jsonb language plpgsql stable set search_path = '' as $$
declare
  now_at timestamptz := baton.clock();
begin
  return (
    with recursive tenants as (
      (select x.tenant_id from baton.outbox x where x.environment = env and x.sent_at is null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.outbox x where x.environment = env and x.sent_at is null and x.tenant_id > t.tenant_id order by x.tenant_id limit 1)
      from tenants t where t.tenant_id is not null
    ), first_ones as (
      select q.* from tenants t cross join lateral (
        select z.*, row_number() over (order by z.due_at) as turn from (select y.* from baton.outbox y where y.environment = env and y.tenant_id = t.tenant_id and y.sent_at is null
          and y.created_at <= now_at - resend order by y.due_at limit most) z) q
      order by q.turn, q.due_at limit most
    ) select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'kind', o.kind, 'data', o.data, 'dueInMs', greatest(0, baton.millis(o.due_at - now_at))) order by o.turn, o.due_at), '[]')
    from first_ones o);
end $$;

-- Deliveries whose time has come and that nobody is at work on, of those that wait for somebody since between `first` and `last` (-infinity: what was laid aside for
-- a disabled endpoint, and never sent since that was enabled): the oldest of each tenant in turn, so that nobody's flood holds up the others.
drop function if exists baton.sweep_deliveries(text, interval, integer);
create or replace function baton.sweep_deliveries(env text, first timestamptz, last timestamptz, most integer) returns jsonb language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  rows jsonb := '[]';
  now_at timestamptz := baton.clock();
begin
  for d in
    with recursive tenants as (
      (select x.tenant_id from baton.webhook_deliveries x where x.environment = env and x.next_at is not null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.webhook_deliveries x where x.environment = env and x.next_at is not null and x.tenant_id > t.tenant_id
        order by x.tenant_id limit 1) from tenants t where t.tenant_id is not null
    ), waiting as (
      select q.id, q.queued_at, row_number() over (partition by t.tenant_id order by q.queued_at) as turn
      from tenants t cross join lateral (select x.id, x.queued_at from baton.webhook_deliveries x
        where x.environment = env and x.tenant_id = t.tenant_id and x.next_at is not null and x.queued_at between first and last and x.next_at <= now_at
        order by x.queued_at limit most) q
    )
    select x.* from baton.webhook_deliveries x where x.id = any (array(select v.id from waiting v order by v.turn, v.queued_at limit most))
    for update skip locked
  loop
    update baton.webhook_deliveries x set queued_at = now_at where x.id = d.id;
    d.next_at := now_at;
    rows := rows || jsonb_build_array(baton.queue_delivery(d, d.attempts > 0));
  end loop;
  return rows;
end $$;

-- Whether it is time again for what was last done at `since`. What was noted in the future stops nobody: the clock may have been put back.
create or replace function baton.pace_kept(since timestamptz, every interval) returns boolean language plpgsql volatile set search_path = '' as $$
begin
  return since <= baton.clock() - every
    or since > baton.clock() + interval '1 second';
end $$;

-- {environment, from?, everyMs, resendMs, longestMs?, limit, resends: {least, most}?, maxFormat?, after?} -> {ok, swept, rows to send, alerts, more, at}. At most once
-- in everyMs over all processes; the clock goes by its own sweeps, so that no traffic keeps it from its own. `more`: a part was full, and whoever was told may
-- sweep again at once with `after`, the `at` of its last one, for as long as nobody else has swept meanwhile.
-- Runs that somebody may still come for are sent anew by `least` a sweep, and as long as fewer than `most` are on the way (whose own wait is not over, so mostly of
-- this sweep and its rounds): a queue at Inngest that is long would only get longer. Deliveries that were sent before go anew by `most` a sweep.
create or replace function baton.sweep(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  by_clock boolean := coalesce(p ->> 'from' = 'cron', false);
  every interval := baton.duration((p ->> 'everyMs')::numeric);
  resend interval := baton.duration((p ->> 'resendMs')::numeric);
  longest interval := greatest(resend, baton.duration(coalesce((p ->> 'longestMs')::numeric, 300000)));
  most integer := least(coalesce((p ->> 'limit')::integer, 50), 500);
  at_once integer := coalesce((p -> 'resends' ->> 'most')::integer, most);
  under_way integer;
  hooks jsonb;
  waits record;
  due record;
  switched json;
  swept_at timestamptz;
  rows jsonb;
  more boolean;
begin
  -- The clock's own sign of life, whether or not somebody else has swept a moment ago.
  if by_clock then update baton.sweeps s set cron_at = baton.clock() where s.environment = env; end if;
  insert into baton.sweeps as s (environment, last_at, cron_at, cron_swept_at)
  values (env, baton.clock(), case when by_clock then baton.clock() end, case when by_clock then baton.clock() end)
  on conflict (environment) do update set last_at = baton.clock(), cron_swept_at = case when by_clock then baton.clock() else s.cron_swept_at end
  where case when p ->> 'after' is not null then s.last_at = (p ->> 'after')::timestamptz
    else baton.pace_kept(case when by_clock then coalesce(s.cron_swept_at, '-infinity') else s.last_at end, every) end
  returning s.last_at into swept_at;
  if not found then return json_build_object('ok', true, 'swept', false, 'outbox', '[]'::json, 'alerts', '[]'::json, 'more', false); end if;
  rows := baton.unsent(env, resend, most);
  more := jsonb_array_length(rows) >= most;
  select * into waits from baton.sweep_waits(env, most);
  under_way := baton.resent(env, at_once);
  select * into due from baton.sweep_runs(env, resend, longest, most,
    least(most, greatest(coalesce((p -> 'resends' ->> 'least')::integer, most), at_once - under_way)), (p ->> 'maxFormat')::integer);
  hooks := baton.sweep_deliveries(env, '-infinity', '-infinity', most);
  more := more or jsonb_array_length(hooks) >= most;
  -- A delivery that nobody takes is queued anew by each sweep: these go on in the pace of sweeps alone.
  if p ->> 'after' is null then hooks := hooks || baton.sweep_deliveries(env, 'epoch', baton.clock() - resend, least(most, at_once)); end if;
  -- Last, for it may touch the counters of budgets.
  switched := baton.apply_switch_work(jsonb_build_object('environment', env, 'limit', most));
  more := more or waits.worked >= most or (due.more and under_way + jsonb_array_length(due.rows) < at_once) or (switched ->> 'more')::boolean;
  rows := rows || waits.rows || due.rows || hooks || (switched -> 'outbox')::jsonb;
  perform baton.count(env, jsonb_build_array(jsonb_build_array('baton_sweeps_total', jsonb_build_object('by', coalesce(p ->> 'from', 'beside')), '', 1),
    jsonb_build_array('baton_sweep_rows_total', '{}'::jsonb, '', jsonb_array_length(rows))));
  -- One batch: agents are locked here.
  perform baton.fold_metrics(env, interval '0');
  return json_build_object('ok', true, 'swept', true, 'outbox', rows, 'alerts', baton.take_alerts(env), 'more', more,
    'at', swept_at);
end $$;
