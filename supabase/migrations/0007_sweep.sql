-- The sweeper and the outbox: how what is due is found when a message about it was lost.

-- {ids} the clock has taken them. Also called for rows sent twice: it changes nothing then. A row that somebody holds is being marked or
-- deleted by them, or is sent once more.
create or replace function baton.outbox_sent(p jsonb) returns json language sql set search_path = '' as $$
  with sent as (
    update baton.outbox o set sent_at = baton.clock() where o.id = any (array(
      select x.id from baton.outbox x where x.id in (select jsonb_array_elements_text(p -> 'ids')) and x.sent_at is null for update skip locked)) returning 1
  ) select json_build_object('ok', true, 'sent', (select count(*) from sent))
$$;

-- Due runs without a live lease whose last continuation is older than resendMs get a new row with a new event id
-- (Inngest drops a repeated id for 24 h even when what it started has failed for good).
create or replace function baton.sweep_runs(env text, resend interval, most integer) returns jsonb language plpgsql set search_path = '' as $$
declare
  w baton.work;
  rows jsonb := '[]';
  uid uuid;
  -- In a variable: a volatile function in a condition keeps Postgres from using the index for it.
  now_at timestamptz := baton.clock();
begin
  -- In turns over the tenants: one with a thousand due runs keeps nobody else waiting.
  for uid in select x.agent_uid from (
      select r.agent_uid, r.due_at, row_number() over (partition by r.tenant_id order by r.due_at) as turn
      from baton.runs r join baton.agents a using (agent_uid)
      where r.environment = env and r.due_at is not null and r.due_at <= now_at and baton.due(a, r)
        and coalesce(a.continued_at, '-infinity') <= now_at - resend) x
    order by x.turn, x.due_at limit most
  loop
    select a into w.a from baton.agents a where a.agent_uid = uid for update skip locked;
    if not found then continue; end if;
    select r into w.r from baton.runs r where r.run_id = (w.a).active_run;
    if (w.r).run_id is null or not baton.due(w.a, w.r) then continue; end if;
    w.rows := null;
    w := baton.write_continue(w, (w.r).run_id, baton.clock());
    update baton.agents a set continued_at = (w.a).continued_at where a.agent_uid = uid;
    rows := rows || w.rows;
  end loop;
  return rows;
end $$;

-- Rows that were committed and never sent. They keep their id: nobody has taken them yet, or the taking was not marked.
create or replace function baton.unsent(env text, resend interval, most integer) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'kind', o.kind, 'data', o.data, 'dueInMs', greatest(0, baton.millis(o.due_at - baton.clock())))), '[]')
  from (select y.*, row_number() over (partition by y.tenant_id order by y.due_at) as turn from baton.outbox y
    where y.environment = env and y.sent_at is null and y.created_at <= baton.clock() - resend
    order by turn, y.due_at limit most) o
$$;

-- {environment, everyMs, resendMs, limit} -> {ok, swept, rows to send}. At most once in everyMs over all processes.
create or replace function baton.sweep(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  resend interval := baton.duration((p ->> 'resendMs')::numeric);
  most integer := least(coalesce((p ->> 'limit')::integer, 50), 500);
  rows jsonb;
begin
  -- The clock's own sign of life, whether or not somebody else has swept a moment ago.
  if p ->> 'from' = 'cron' then update baton.sweeps s set cron_at = baton.clock() where s.environment = env; end if;
  insert into baton.sweeps as s (environment, last_at, cron_at) values (env, baton.clock(), case when p ->> 'from' = 'cron' then baton.clock() end)
  on conflict (environment) do update set last_at = baton.clock() where s.last_at <= baton.clock() - baton.duration((p ->> 'everyMs')::numeric)
    or s.last_at > baton.clock() + interval '1 second';
  if not found then return json_build_object('ok', true, 'swept', false, 'outbox', '[]'::json, 'alerts', '[]'::json); end if;
  rows := baton.unsent(env, resend, most) || baton.sweep_waits(env, most) || baton.sweep_runs(env, resend, most) || baton.sweep_deliveries(env, resend, most);
  -- Last, for it may touch the counters of budgets.
  rows := rows || (baton.apply_switch_work(jsonb_build_object('environment', env, 'limit', most)) -> 'outbox')::jsonb;
  perform baton.count(env, jsonb_build_array(jsonb_build_array('baton_sweeps_total', jsonb_build_object('by', coalesce(p ->> 'from', 'beside')), '', 1),
    jsonb_build_array('baton_sweep_rows_total', '{}'::jsonb, '', jsonb_array_length(rows))));
  perform baton.fold_metrics(env, 20 * most);
  return json_build_object('ok', true, 'swept', true, 'outbox', rows, 'alerts', baton.take_alerts(env));
end $$;

-- {environment} Retention, in batches: events 7 days and 10,000 per agent, keys 24 h and until the run's end, outbox 24 h after sending, deliveries 7 days,
-- audit 400 days.
create or replace function baton.prune(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  most integer := least(coalesce((p ->> 'limit')::integer, 1000), 10000);
  now_at timestamptz := baton.clock();
  day_ago timestamptz := now_at - interval '24 hours';
  week_ago timestamptz := now_at - interval '7 days';
  events_gone integer;
  keys_gone integer;
  outbox_gone integer;
  deliveries_gone integer;
begin
  -- By row address: the planner would rather read a whole table than look up a batch of keys in it. Nobody is waited for: who holds an
  -- agent or a row comes with the next batch.
  with old as materialized (
    (select e.ctid as place, e.agent_uid from baton.events e join baton.agents a using (agent_uid) where a.environment = env and e.at < week_ago limit most)
    union all
    (select e.ctid, a.agent_uid from baton.agents a cross join lateral (
      select x.ctid from baton.events x where x.agent_uid = a.agent_uid and x.seq between a.first_event_seq and a.last_event_seq - 10000
      order by x.seq limit most) e
    where a.environment = env and a.last_event_seq - a.first_event_seq >= 10000 limit most)),
  held as materialized (select a.agent_uid from baton.agents a where a.agent_uid in (select o.agent_uid from old o) for no key update skip locked),
  gone as (delete from baton.events d where d.ctid = any (array(select o.place from old o join held using (agent_uid))) returning d.agent_uid, d.seq),
  moved as (
    update baton.agents a set first_event_seq = greatest(a.first_event_seq, g.last + 1)
    from (select agent_uid, max(seq) as last from gone group by agent_uid) g where a.agent_uid = g.agent_uid returning 1
  ) select count(*) from gone into events_gone;
  with gone as (delete from baton.idempotency d where d.ctid = any (array(
    select i.ctid from baton.idempotency i join baton.tenants t on t.id = i.tenant_id left join baton.runs r on r.run_id = i.run_id
    where t.environment = env and i.created_at < day_ago and not coalesce(baton.is_open(r.state), false)
    limit most for update of i skip locked)) returning 1)
  select count(*) from gone into keys_gone;
  with gone as (delete from baton.outbox d where d.ctid = any (array(
    select o.ctid from baton.outbox o where o.environment = env and o.created_at < day_ago and o.sent_at < day_ago limit most for update skip locked)) returning 1)
  select count(*) from gone into outbox_gone;
  with gone as (delete from baton.webhook_deliveries w where w.ctid = any (array(
    select d.ctid from baton.webhook_deliveries d where d.environment = env and d.created_at < week_ago and (d.ended_at < week_ago or d.next_at is null and d.state = 'pending')
    limit most for update skip locked)) returning 1)
  select count(*) from gone into deliveries_gone;
  -- With their agent, or after 400 days.
  delete from baton.approvals d where d.id in (select v.id from baton.approvals v where v.environment = env and v.created_at < now_at - interval '400 days'
    and v.state <> 'pending' limit most for update skip locked);
  delete from baton.gates g where g.environment = env and g.until < now_at - interval '1 hour';
  perform baton.prune_budgets(env, most);
  update baton.sweeps s set pruned_at = now_at where s.environment = env;
  return json_build_object('ok', true, 'events', events_gone, 'idempotency', keys_gone, 'outbox', outbox_gone, 'deliveries', deliveries_gone,
    'audit', baton.prune_audit(env, most));
end $$;
