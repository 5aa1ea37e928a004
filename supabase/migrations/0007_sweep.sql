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
-- (Inngest drops a repeated id for 24 h even when what it started has failed for good). One far in the future belongs to a wait that was cut short.
create or replace function baton.sweep_runs(env text, resend interval, most integer) returns jsonb language plpgsql set search_path = '' as $$
declare
  w baton.work;
  rows jsonb := '[]';
  uid uuid;
  -- In a variable: a volatile function in a condition keeps Postgres from using the index for it.
  now_at timestamptz := baton.clock();
begin
  -- In turns over the tenants, the first few of each: one with a hundred thousand due runs keeps nobody else waiting, and is not read through.
  -- Whether a run is due (baton.due) is decided under its agent's lock; here it stands in plain words, for the sake of speed.
  for uid in
    with recursive tenants as (
      (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null order by x.tenant_id limit 1)
      union all
      select (select x.tenant_id from baton.runs x where x.environment = env and x.due_at is not null and x.tenant_id > t.tenant_id order by x.tenant_id limit 1)
      from tenants t where t.tenant_id is not null
    )
    select q.agent_uid from tenants t cross join lateral (
      select z.agent_uid, z.due_at, row_number() over (order by z.due_at) as turn from (select r.agent_uid, r.due_at from baton.runs r join baton.agents a using (agent_uid)
        where r.environment = env and r.tenant_id = t.tenant_id and r.due_at is not null and r.due_at <= now_at and (a.lease_owner is null or a.lease_until <= now_at)
          and (a.continued_at between now_at - resend and now_at + resend) is not true order by r.due_at limit most) z) q
    order by q.turn, q.due_at limit most
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
