-- The sweeper, the outbox and webhook deliveries: how what is due is found when a message about it was lost.

-- {ids} the clock has taken them. Also called for rows sent twice: it changes nothing then.
create or replace function baton.outbox_sent(p jsonb) returns json language sql set search_path = '' as $$
  with sent as (
    update baton.outbox o set sent_at = baton.clock() where o.id in (select jsonb_array_elements_text(p -> 'ids')) and o.sent_at is null returning 1
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
  for uid in select r.agent_uid from baton.runs r join baton.agents a using (agent_uid)
    where r.environment = env and r.due_at is not null and r.due_at <= now_at and baton.due(a, r)
      and coalesce(a.continued_at, '-infinity') <= now_at - resend
    order by r.due_at limit most
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

-- Deliveries whose time has come and that nobody is at work on.
create or replace function baton.sweep_deliveries(env text, resend interval, most integer) returns jsonb language sql set search_path = '' as $$
  with due as (
    select d.id from baton.webhook_deliveries d where d.environment = env and d.next_at is not null and d.next_at <= baton.clock()
      and coalesce(d.queued_at, '-infinity') <= baton.clock() - resend
    order by d.next_at limit most for update skip locked
  ), marked as (
    update baton.webhook_deliveries d set queued_at = baton.clock() from due where d.id = due.id returning d.*
  ), written as (
    insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at)
    select baton.new_id('out'), m.tenant_id, m.environment, 'webhook', m.agent_uid, jsonb_build_object('tenantId', m.tenant_id, 'deliveryId', m.id), baton.clock()
    from marked m returning *
  ) select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'kind', o.kind, 'data', o.data, 'dueInMs', 0)), '[]') from written o
$$;

-- Rows that were committed and never sent. They keep their id: nobody has taken them yet, or the taking was not marked.
create or replace function baton.unsent(env text, resend interval, most integer) returns jsonb language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'kind', o.kind, 'data', o.data, 'dueInMs', greatest(0, baton.millis(o.due_at - baton.clock())))), '[]')
  from (select * from baton.outbox x where x.environment = env and x.sent_at is null and x.created_at <= baton.clock() - resend
    order by x.due_at limit most) o
$$;

-- {environment, everyMs, resendMs, limit} -> {ok, swept, rows to send}. At most once in everyMs over all processes.
create or replace function baton.sweep(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  env text := p ->> 'environment';
  resend interval := baton.duration((p ->> 'resendMs')::numeric);
  most integer := least(coalesce((p ->> 'limit')::integer, 50), 500);
  rows jsonb;
begin
  insert into baton.sweeps as s (environment, last_at) values (env, baton.clock())
  on conflict (environment) do update set last_at = baton.clock() where s.last_at <= baton.clock() - baton.duration((p ->> 'everyMs')::numeric)
    or s.last_at > baton.clock() + interval '1 second';
  if not found then return json_build_object('ok', true, 'swept', false, 'outbox', '[]'::json); end if;
  rows := baton.unsent(env, resend, most);
  rows := rows || baton.sweep_runs(env, resend, most) || baton.sweep_deliveries(env, resend, most);
  return json_build_object('ok', true, 'swept', true, 'outbox', rows);
end $$;

-- {id, environment, holdMs} A worker takes the delivery for holdMs; another one gets {ok:false}.
create or replace function baton.take_delivery(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
begin
  update baton.webhook_deliveries x set next_at = baton.clock() + baton.duration((p ->> 'holdMs')::numeric), attempts = x.attempts + 1
  where x.id = p ->> 'id' and x.environment = p ->> 'environment' and x.state = 'pending' and x.next_at <= baton.clock() returning * into d;
  if not found then return baton.refuse('nothing_due'); end if;
  return json_build_object('ok', true, 'id', d.id, 'eventId', d.event_id, 'url', d.url, 'secret', d.secret, 'payload', d.payload, 'attempt', d.attempts);
end $$;

-- {id, attempt, delivered, status, error, durationMs, retryInMs|null} What became of the attempt; the next one is a new outbox row.
create or replace function baton.record_delivery(p jsonb) returns json language plpgsql set search_path = '' as $$
declare
  d baton.webhook_deliveries;
  out_id text := baton.new_id('out');
  retry interval := baton.duration((p ->> 'retryInMs')::numeric);
begin
  update baton.webhook_deliveries x set
    state = case when (p ->> 'delivered')::boolean then 'delivered' when retry is null then 'failed' else 'pending' end,
    next_at = case when not (p ->> 'delivered')::boolean then baton.clock() + retry end,
    queued_at = case when not (p ->> 'delivered')::boolean and retry is not null then baton.clock() + retry end,
    ended_at = case when (p ->> 'delivered')::boolean or retry is null then baton.clock() end,
    log = (case when jsonb_array_length(x.log) >= 20 then x.log - 0 else x.log end) || jsonb_build_object('at', baton.clock(), 'attempt', p -> 'attempt',
      'status', p -> 'status', 'error', p -> 'error', 'durationMs', p -> 'durationMs')
  where x.id = p ->> 'id' and x.state = 'pending' and x.attempts = (p ->> 'attempt')::integer returning * into d;
  if not found then return baton.refuse('nothing_due'); end if;
  if d.state <> 'pending' then return json_build_object('ok', true, 'outbox', '[]'::json); end if;
  insert into baton.outbox (id, tenant_id, environment, kind, agent_uid, data, due_at)
  values (out_id, d.tenant_id, d.environment, 'webhook', d.agent_uid, jsonb_build_object('tenantId', d.tenant_id, 'deliveryId', d.id), d.next_at);
  return json_build_object('ok', true, 'outbox', json_build_array(json_build_object('id', out_id, 'kind', 'webhook',
    'data', json_build_object('tenantId', d.tenant_id, 'deliveryId', d.id), 'dueInMs', baton.millis(retry))));
end $$;

-- {environment} Retention, in batches: events 7 days and 10,000 per agent, keys 24 h and until the run's end, outbox 24 h after sending, deliveries 7 days.
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
  -- By row address: the planner would rather read a whole table than look up a batch of keys in it.
  with gone as (delete from baton.events d where d.ctid = any (array(
    (select e.ctid from baton.events e join baton.agents a using (agent_uid) where a.environment = env and e.at < week_ago limit most)
    union all
    (select e.ctid from baton.agents a cross join lateral (
      select x.ctid from baton.events x where x.agent_uid = a.agent_uid and x.seq between a.first_event_seq and a.last_event_seq - 10000
      order by x.seq limit most) e
    where a.environment = env and a.last_event_seq - a.first_event_seq >= 10000 limit most))) returning d.agent_uid, d.seq),
  moved as (
    update baton.agents a set first_event_seq = greatest(a.first_event_seq, g.last + 1)
    from (select agent_uid, max(seq) as last from gone group by agent_uid) g where a.agent_uid = g.agent_uid returning 1
  ) select count(*) from gone into events_gone;
  with gone as (delete from baton.idempotency d where d.ctid = any (array(
    select i.ctid from baton.idempotency i join baton.tenants t on t.id = i.tenant_id left join baton.runs r on r.run_id = i.run_id
    where t.environment = env and i.created_at < day_ago and not coalesce(baton.is_open(r.state), false) limit most)) returning 1)
  select count(*) from gone into keys_gone;
  with gone as (delete from baton.outbox d where d.ctid = any (array(
    select o.ctid from baton.outbox o where o.environment = env and o.created_at < day_ago and o.sent_at < day_ago limit most)) returning 1)
  select count(*) from gone into outbox_gone;
  with gone as (delete from baton.webhook_deliveries w where w.ctid = any (array(
    select d.ctid from baton.webhook_deliveries d where d.environment = env and d.created_at < week_ago and d.ended_at < week_ago limit most)) returning 1)
  select count(*) from gone into deliveries_gone;
  delete from baton.gates g where g.environment = env and g.until < now_at - interval '1 hour';
  perform baton.prune_budgets(env, most);
  update baton.sweeps s set pruned_at = now_at where s.environment = env;
  return json_build_object('ok', true, 'events', events_gone, 'idempotency', keys_gone, 'outbox', outbox_gone, 'deliveries', deliveries_gone);
end $$;
