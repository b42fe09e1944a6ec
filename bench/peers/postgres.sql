-- postgres.sql - a reserve in PostgreSQL. See README.md for the reasons.
drop table if exists orders, stock;

create table orders (
    id uuid primary key,
    sku integer not null,
    qty integer not null,
    deadline timestamptz not null
);

-- Room on each page for new versions of its rows, so that updates touch no index (HOT).
create table stock (
    sku integer primary key,
    free bigint not null
) with (fillfactor = 20);

-- 1: held; 2: replayed; 0: sold out. The stock row comes last: its lock is held from there to the
-- end of the commit, and everybody waits for it.
create or replace function reserve(order_id uuid, item integer, units integer) returns integer
language plpgsql as $$
begin
    insert into orders values (order_id, item, units, now() + interval '15 minutes')
        on conflict do nothing;
    if not found then
        return 2;
    end if;
    update stock set free = free - units where sku = item and free >= units;
    if not found then
        delete from orders where id = order_id;
        return 0;
    end if;
    return 1;
end $$;

-- How many orders of the batch were held: all of them, those that were held before included, or an
-- error and none, after which the caller would go on with reserve(), one by one. That is less than
-- Holdfast's batch does, where each order stands for itself, and faster for PostgreSQL.
-- Stock rows are locked in order, so that batches do not deadlock.
create or replace function reserve_batch(ids uuid[], items integer[], units integer[])
returns integer language plpgsql as $$
declare
    wanted_skus integer;
    taken_skus integer;
begin
    with fresh as (
        insert into orders
            select *, now() + interval '15 minutes' from unnest(ids, items, units)
            on conflict do nothing
            returning sku, qty
    ), wanted as materialized (
        select sku, sum(qty) as qty from fresh group by sku
    ), locked as materialized (
        select sku, wanted.qty from stock join wanted using (sku) order by sku for update of stock
    ), taken as (
        update stock set free = free - locked.qty
            from locked
            where stock.sku = locked.sku and free >= locked.qty
            returning 1
    )
    select (select count(*) from wanted), (select count(*) from taken)
        into wanted_skus, taken_skus;
    if taken_skus < wanted_skus then
        raise exception 'a SKU of the batch is sold out';
    end if;
    return cardinality(ids);
end $$;
