/* wal_why.c - `holdfast wal why`: how an item's number of today came to be.
 *
 * The log is replayed from as far back as there is; what each record does to the item is taken from
 * the record and its order's lines. At the end these sums must be the item's numbers, which the
 * core's counters keep by themselves.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/values.h"
#include "cli/wal_open.h"
#include "cli/wal_say.h"

#define TOP_DEFAULT      10u
#define PAGE_ORDERS      1024u
#define ITEMS_OF_SKU_MAX 4096u

static const char *data = DATA_DEFAULT;
static const char *archive;
static uint64_t top = TOP_DEFAULT;
static bool all_orders;
static bool json;

static const struct option_spec options[] = {
    WAL_DATA_OPTION(data),
    WAL_ARCHIVE_OPTION(archive),
    {"top", OPTION_UNSIGNED, &top, NULL, "N",
     "of the orders that hold units, the N largest (default: 10)"},
    {"all", OPTION_FLAG, &all_orders, NULL, NULL, "all orders that hold units"},
    {"json", OPTION_FLAG, &json, NULL, NULL, "print JSON, an array with an object for each item"},
};

static const struct command_spec spec = {
    .name = "wal why",
    .arguments = "SKU[@POOL]",
    .help =
        "Shows how an item's stock came to be what it is: each change of it, what was held, sold,\n"
        "returned, released and expired, and the orders that hold units now. The sums must be the\n"
        "item's numbers; it says whether they are. Where the engine has recycled the log's\n"
        "beginning, it starts from the oldest checkpoint: --archive reaches further back.\n"
        "Reads only; the log's engine may be running.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

/* ---- What is gathered ---- */

/* A change of stock that no order made. */
struct stock_step {
    const char *kind; /* "adjusted", "moved in", "moved out" */
    uint64_t lsn;
    uint64_t wall_ms;
    int64_t delta;
    int64_t stocked; /* afterwards */
    uint32_t other;  /* moves: the other item */
    bool forced;
    const char *reason; /* never NULL */
    const char *reference;
};

/* Units since the beginning, and what there was at it. */
struct account {
    uint32_t item;
    struct stock_view base;
    int64_t adjusted; /* by adjustments and moves */
    int64_t reserved;
    int64_t committed;      /* of what was held */
    int64_t committed_late; /* taken again from what was free */
    int64_t dropped;        /* released by commits of less than was held */
    int64_t released;
    int64_t expired;
    int64_t returned;
    uint64_t orders;
    uint32_t step_count;
    uint32_t step_room;
    struct stock_step *steps;
};

struct why {
    int64_t ahead_ms; /* what shows deadlines, at the log's end */
    struct item_name name;
    struct arena texts;
    uint32_t count;
    struct account *accounts;
    uint32_t *by_item; /* index + 1 into accounts; 0: another item */
    uint32_t by_item_room;
    struct checkpoint_info from;
    /* The order of the event that is being applied, before it. */
    struct order_view order;
    struct order_line_view lines[ORDER_LINES_MAX];
    struct order_line_view lines_after[ORDER_LINES_MAX];
    bool touched;
};

static struct account *account_of(struct why *why, uint32_t item)
{
    uint32_t index = item < why->by_item_room ? why->by_item[item] : 0;
    return index ? &why->accounts[index - 1] : NULL;
}

static bool is_wanted(const struct why *why, struct bytes sku, struct bytes pool)
{
    return sku.len == strlen(why->name.sku) && memcmp(sku.data, why->name.sku, sku.len) == 0 &&
           (!why->name.has_pool || (pool.len == strlen(why->name.pool) &&
                                    memcmp(pool.data, why->name.pool, pool.len) == 0));
}

static void watch_item(struct why *why, uint32_t item, const struct stock_view *base)
{
    if (account_of(why, item)) {
        return;
    }
    if (item >= why->by_item_room) {
        uint32_t room = 2 * item + 64;
        why->by_item = must_grow(why->by_item, room, sizeof *why->by_item);
        memset(why->by_item + why->by_item_room, 0,
               (room - why->by_item_room) * sizeof *why->by_item);
        why->by_item_room = room;
    }
    why->accounts = must_grow(why->accounts, why->count + 1, sizeof *why->accounts);
    why->accounts[why->count] = (struct account){.item = item, .base = *base};
    why->by_item[item] = ++why->count;
}

static void begin(void *context, struct inventory *inventory, const struct checkpoint_info *from)
{
    static uint32_t items[ITEMS_OF_SKU_MAX];
    struct why *why = context;
    why->from = *from;
    uint32_t count =
        inventory_sku_items(inventory, bytes_of(why->name.sku), items, ITEMS_OF_SKU_MAX);
    for (uint32_t i = 0; i < count && i < ITEMS_OF_SKU_MAX; i++) {
        struct item_view view;
        if (inventory_item(inventory, items[i], &view) == HF_OK &&
            is_wanted(why, view.sku, view.pool)) {
            watch_item(why, items[i], &view.stock);
        }
    }
}

/* ---- Changes of stock ---- */

static const char *keep(struct why *why, struct bytes text)
{
    char *copy = must_have(arena_alloc(&why->texts, text.len + 1));
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static void add_step(struct why *why, uint32_t item, const struct event *event,
                     struct stock_step step, struct bytes reason, struct bytes reference)
{
    struct account *account = account_of(why, item);
    if (!account) {
        return;
    }
    if (account->step_count == account->step_room) {
        account->step_room = account->step_room ? 2 * account->step_room : 16;
        account->steps = must_grow(account->steps, account->step_room, sizeof *account->steps);
    }
    step.lsn = event->lsn;
    step.forced = event->flags & EVENT_FORCED;
    step.reason = keep(why, reason);
    step.reference = keep(why, reference);
    account->adjusted += step.delta;
    account->steps[account->step_count++] = step;
}

static void add_stock(struct why *why, const struct event *event, uint64_t wall_ms)
{
    if (event->type == EVENT_STOCK_ADJUSTED) {
        const struct stock_change *change = event->adjust;
        add_step(why, change->item, event,
                 (struct stock_step){.kind = "adjusted",
                                     .wall_ms = wall_ms,
                                     .delta = change->delta,
                                     .stocked = change->stocked},
                 change->reason, change->reference);
        return;
    }
    const struct stock_move *move = event->move;
    add_step(why, move->from, event,
             (struct stock_step){.kind = "moved out",
                                 .wall_ms = wall_ms,
                                 .delta = -move->units,
                                 .stocked = move->from_stocked,
                                 .other = move->to},
             move->reason, move->reference);
    add_step(why, move->to, event,
             (struct stock_step){.kind = "moved in",
                                 .wall_ms = wall_ms,
                                 .delta = move->units,
                                 .stocked = move->to_stocked,
                                 .other = move->from},
             move->reason, move->reference);
}

/* ---- Changes of orders ---- */

static int64_t held_units(enum order_state state, const struct order_line_view *line)
{
    return state == ORDER_HELD ? (int64_t)line->qty - line->released : 0;
}

static int64_t sold_units(enum order_state state, const struct order_line_view *line)
{
    return state == ORDER_COMMITTED || state == ORDER_RETURNED
               ? (int64_t)line->committed - line->returned
               : 0;
}

static void add_held(struct why *why, const struct event *event)
{
    struct account *last = NULL;
    for (uint32_t i = 0; i < event->line_count; i++) {
        uint32_t item = event->grants ? event->grants[i].item : event->lines[i].item;
        struct account *account = account_of(why, item);
        if (account) {
            account->reserved += event->grants ? event->grants[i].qty : event->lines[i].qty;
            account->orders += account != last;
            last = account;
        }
    }
}

static bool changes_units(const struct event *event)
{
    return event->type == EVENT_ORDER_COMMITTED || event->type == EVENT_ORDER_RELEASED ||
           event->type == EVENT_ORDER_EXPIRED || event->type == EVENT_ORDER_RETURNED;
}

static void before(void *context, struct inventory *inventory, const struct event *event)
{
    struct why *why = context;
    why->touched = false;
    if (!changes_units(event) || why->count == 0 ||
        inventory_order(inventory, event->id, &why->order, why->lines, ORDER_LINES_MAX) != HF_OK) {
        return;
    }
    for (uint32_t i = 0; i < why->order.line_count && !why->touched; i++) {
        why->touched = account_of(why, why->lines[i].item) != NULL;
    }
}

/* held and sold: by how many units the order's line changed. */
static void add_units(struct account *account, const struct event *event, int64_t held,
                      int64_t sold)
{
    switch (event->type) {
    case EVENT_ORDER_COMMITTED:
        if (event->flags & EVENT_LATE) {
            account->committed_late += sold;
        } else {
            account->committed += sold;
            account->dropped += -held - sold;
        }
        break;
    case EVENT_ORDER_RELEASED:
        account->released -= held;
        break;
    case EVENT_ORDER_EXPIRED:
        account->expired -= held;
        break;
    default:
        account->returned -= sold;
        break;
    }
}

static void add_change(struct why *why, struct inventory *inventory, const struct event *event)
{
    struct order_view order;
    if (inventory_order(inventory, event->id, &order, why->lines_after, ORDER_LINES_MAX) != HF_OK) {
        return;
    }
    for (uint32_t i = 0; i < order.line_count; i++) {
        struct account *account = account_of(why, why->lines[i].item);
        if (account) {
            const struct order_line_view *was = &why->lines[i];
            const struct order_line_view *is = &why->lines_after[i];
            add_units(account, event,
                      held_units(order.state, is) - held_units(why->order.state, was),
                      sold_units(order.state, is) - sold_units(why->order.state, was));
        }
    }
}

static void after(void *context, struct inventory *inventory, const struct event *event,
                  uint64_t wall_ms)
{
    struct why *why = context;
    if (event->type == EVENT_ITEM_DEFINED && is_wanted(why, event->item->sku, event->item->pool)) {
        watch_item(why, event->item->item, &(struct stock_view){0});
    } else if (event->type == EVENT_STOCK_ADJUSTED || event->type == EVENT_STOCK_MOVED) {
        add_stock(why, event, wall_ms);
    } else if (event->type == EVENT_ORDER_HELD) {
        add_held(why, event);
    } else if (why->touched) {
        add_change(why, inventory, event);
    }
}

/* ---- Orders that hold units now ---- */

struct holder {
    struct order_view order;
    int64_t units;
};

struct holders {
    struct holder *holders;
    size_t count;
    size_t room;
    int64_t units;
};

static int compare_holders(const void *a, const void *b)
{
    const struct holder *left = a;
    const struct holder *right = b;
    int order = (right->units > left->units) - (right->units < left->units);
    return order ? order
                 : (left->order.lsn > right->order.lsn) - (left->order.lsn < right->order.lsn);
}

static void add_holder(struct holders *holders, const struct why *why,
                       const struct order_view *order, int64_t units)
{
    if (holders->count == holders->room) {
        holders->room = holders->room ? 2 * holders->room : 64;
        holders->holders = must_grow(holders->holders, holders->room, sizeof *holders->holders);
    }
    struct holder *holder = &holders->holders[holders->count++];
    *holder = (struct holder){*order, units};
    holder->order.deadline_ms = time_shown_ms(order->deadline_ms, why->ahead_ms);
    holders->units += units;
}

/* All of them, the largest first. */
static struct holders find_holders(struct why *why, struct inventory *inventory, uint32_t item)
{
    static struct order_view views[PAGE_ORDERS];
    struct holders holders = {0};
    const struct order_filter filter = {
        .items = &item, .item_count = 1, .states = 1u << ORDER_HELD};
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        uint32_t count = inventory_list_orders(inventory, &filter, &cursor, views, PAGE_ORDERS,
                                               LIST_ORDERS_LOOKED_MAX);
        for (uint32_t i = 0; i < count; i++) {
            int64_t units = 0;
            if (inventory_order(inventory, views[i].id, &why->order, why->lines, ORDER_LINES_MAX) !=
                HF_OK) {
                continue;
            }
            for (uint32_t line = 0; line < why->order.line_count; line++) {
                units += why->lines[line].item == item
                             ? held_units(why->order.state, &why->lines[line])
                             : 0;
            }
            if (units > 0) {
                add_holder(&holders, why, &views[i], units);
            }
        }
    }
    if (holders.count > 0) {
        qsort(holders.holders, holders.count, sizeof *holders.holders, compare_holders);
    }
    return holders;
}

/* ---- Sums ---- */

struct sums {
    int64_t stocked;
    int64_t held;
    int64_t sold;
    bool agree; /* with the item's numbers, and the holders' units with held */
};

static struct sums add_up(const struct account *account, const struct item_view *view,
                          const struct holders *holders)
{
    struct sums sums = {
        .stocked = account->base.stocked + account->adjusted,
        .held = account->base.held + account->reserved - account->committed - account->dropped -
                account->released - account->expired,
        .sold =
            account->base.sold + account->committed + account->committed_late - account->returned,
    };
    sums.agree = sums.stocked == view->stock.stocked && sums.held == view->stock.held &&
                 sums.sold == view->stock.sold && holders->units == view->stock.held;
    return sums;
}

static size_t shown(const struct holders *holders)
{
    return all_orders || holders->count < top ? holders->count : (size_t)top;
}

/* ---- Text ---- */

static void print_item_name(struct bytes sku, struct bytes pool)
{
    char text[2 * CODE_BYTES_MAX + 2];
    snprintf(text, sizeof text, "%.*s@%.*s", (int)sku.len, (const char *)sku.data, (int)pool.len,
             (const char *)pool.data);
    print_safe(stdout, text);
}

static void print_labelled(const char *label, const char *text)
{
    if (text[0] != '\0') {
        printf("  %s: ", label);
        print_safe(stdout, text);
    }
}

static void print_steps(const struct inventory *inventory, const struct account *account)
{
    for (uint32_t i = 0; i < account->step_count; i++) {
        const struct stock_step *step = &account->steps[i];
        struct item_view other;
        char when[TIME_TEXT_BYTES];
        time_text(step->wall_ms, when);
        printf("  %s  LSN %-10" PRIu64 "  %-9s  %+" PRId64 " = %" PRId64, when, step->lsn,
               step->kind, step->delta, step->stocked);
        if (step->other && inventory_item(inventory, step->other, &other) == HF_OK) {
            fputs(step->delta < 0 ? "  to " : "  from ", stdout);
            print_item_name(other.sku, other.pool);
        }
        print_labelled("reason", step->reason);
        print_labelled("reference", step->reference);
        puts(step->forced ? "  FORCED" : "");
    }
}

static void print_units(const char *what, int64_t units)
{
    if (units != 0) {
        printf("  %-28s %12" PRId64 "\n", what, units);
    }
}

static void print_account(const struct why *why, const struct account *account,
                          const struct item_view *view, const struct sums *sums)
{
    const struct stock_view *base = &account->base;
    if (why->from.number) {
        printf("before LSN %" PRIu64 " (checkpoint %" PRIu64 ")\n", why->from.start.lsn,
               why->from.number);
        printf("  stocked %" PRId64 ", held %" PRId64 ", sold %" PRId64 "\n", base->stocked,
               base->held, base->sold);
    }
    printf("orders since: %" PRIu64 "\n", account->orders);
    print_units("units reserved", account->reserved);
    print_units("committed", account->committed);
    print_units("not wanted at commit", account->dropped);
    print_units("committed after expiry", account->committed_late);
    print_units("released", account->released);
    print_units("expired", account->expired);
    print_units("returned", account->returned);
    const struct stock_view *now = &view->stock;
    printf("now\n  stocked %" PRId64 " = %" PRId64 " %+" PRId64 "\n", now->stocked, base->stocked,
           account->adjusted);
    printf("  held    %" PRId64 " = %" PRId64 " + reserved %" PRId64 " - committed %" PRId64
           " - not wanted %" PRId64 " - released %" PRId64 " - expired %" PRId64 "\n",
           now->held, base->held, account->reserved, account->committed, account->dropped,
           account->released, account->expired);
    printf("  sold    %" PRId64 " = %" PRId64 " + committed %" PRId64 " + late %" PRId64
           " - returned %" PRId64 "\n",
           now->sold, base->sold, account->committed, account->committed_late, account->returned);
    printf("  available %" PRId64 " = stocked %" PRId64 " - safety %" PRId64 " - held %" PRId64
           " - sold %" PRId64 " + presale_cap %" PRId64 "\n",
           now->available, now->stocked, now->safety, now->held, now->sold, now->presale_cap);
    puts(sums->agree ? "  The sums are the item's numbers." : "  THE SUMS DIFFER:");
    if (!sums->agree) {
        printf("  summed: stocked %" PRId64 ", held %" PRId64 ", sold %" PRId64 "\n", sums->stocked,
               sums->held, sums->sold);
    }
}

static void print_holders(const struct holders *holders)
{
    static const struct print_column columns[] = {
        {"order", false}, {"units", true}, {"buyer", false}, {"held until", false}};
    size_t count = shown(holders);
    if (holders->count == 0) {
        return;
    }
    printf("held now by %zu order%s%s\n", holders->count, holders->count == 1 ? "" : "s",
           count < holders->count ? ", the largest are" : "");
    struct print_table table;
    print_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < count; i++) {
        const struct order_view *order = &holders->holders[i].order;
        char id[ID_TEXT_BYTES];
        char buyer[24];
        char when[TIME_TEXT_BYTES];
        id_to_text(order->id, id);
        snprintf(buyer, sizeof buyer, "%" PRIu64, order->buyer);
        time_text(order->deadline_ms, when);
        print_table_text(&table, id);
        print_table_number(&table, holders->holders[i].units);
        print_table_text(&table, order->buyer ? buyer : "-");
        print_table_text(&table, when);
    }
    print_table_flush(&table);
    print_table_deinit(&table);
}

/* ---- JSON ---- */

static json_t *steps_array(const struct inventory *inventory, const struct account *account)
{
    json_t *steps = json_array();
    for (uint32_t i = 0; i < account->step_count; i++) {
        const struct stock_step *step = &account->steps[i];
        struct item_view other;
        json_t *object =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:b}", "kind", step->kind, "lsn",
                      (json_int_t)step->lsn, "at_ms", (json_int_t)step->wall_ms, "delta",
                      (json_int_t)step->delta, "stocked", (json_int_t)step->stocked, "reason",
                      json_text(step->reason, strlen(step->reason)), "reference",
                      json_text(step->reference, strlen(step->reference)), "forced", step->forced);
        if (step->other && inventory_item(inventory, step->other, &other) == HF_OK) {
            json_object_set_new(object, "other_pool", json_text(other.pool.data, other.pool.len));
        }
        json_array_append_new(steps, object);
    }
    return steps;
}

static json_t *holders_array(const struct holders *holders)
{
    json_t *array = json_array();
    for (size_t i = 0; i < shown(holders); i++) {
        const struct order_view *order = &holders->holders[i].order;
        char id[ID_TEXT_BYTES];
        char buyer[24];
        id_to_text(order->id, id);
        snprintf(buyer, sizeof buyer, "%" PRIu64, order->buyer);
        json_array_append_new(array, json_pack("{s:s, s:I, s:s, s:I, s:I}", "order", id, "units",
                                               (json_int_t)holders->holders[i].units, "buyer",
                                               buyer, "deadline_ms", (json_int_t)order->deadline_ms,
                                               "lsn", (json_int_t)order->lsn));
    }
    return array;
}

static json_t *numbers_object(int64_t stocked, int64_t held, int64_t sold)
{
    return json_pack("{s:I, s:I, s:I}", "stocked", (json_int_t)stocked, "held", (json_int_t)held,
                     "sold", (json_int_t)sold);
}

static json_t *account_object(const struct why *why, const struct inventory *inventory,
                              const struct account *account, const struct item_view *view,
                              const struct sums *sums, const struct holders *holders)
{
    json_t *base = numbers_object(account->base.stocked, account->base.held, account->base.sold);
    json_object_set_new(base, "lsn", json_integer((json_int_t)why->from.start.lsn));
    json_object_set_new(base, "checkpoint", json_integer((json_int_t)why->from.number));
    json_t *now = numbers_object(view->stock.stocked, view->stock.held, view->stock.sold);
    json_object_set_new(now, "available", json_integer((json_int_t)view->stock.available));
    json_object_set_new(now, "safety", json_integer((json_int_t)view->stock.safety));
    json_object_set_new(now, "presale_cap", json_integer((json_int_t)view->stock.presale_cap));
    json_t *units = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "adjusted", (json_int_t)account->adjusted,
        "reserved", (json_int_t)account->reserved, "committed", (json_int_t)account->committed,
        "committed_late", (json_int_t)account->committed_late, "not_wanted",
        (json_int_t)account->dropped, "released", (json_int_t)account->released, "expired",
        (json_int_t)account->expired, "returned", (json_int_t)account->returned);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:b, s:I, s:o}", "item",
                     (json_int_t)account->item, "sku", json_text(view->sku.data, view->sku.len),
                     "pool", json_text(view->pool.data, view->pool.len), "before", base, "stock",
                     steps_array(inventory, account), "orders", (json_int_t)account->orders,
                     "units", units, "now", now, "sums",
                     numbers_object(sums->stocked, sums->held, sums->sold), "agree", sums->agree,
                     "holders", (json_int_t)holders->count, "held_by", holders_array(holders));
}

/* ---- The command ---- */

/* True when the sums are the item's numbers. */
static bool tell(struct why *why, struct inventory *inventory, const struct account *account,
                 struct json_rows *array)
{
    struct item_view view;
    if (inventory_item(inventory, account->item, &view) != HF_OK) {
        return false;
    }
    struct holders holders = find_holders(why, inventory, account->item);
    struct sums sums = add_up(account, &view, &holders);
    if (json) {
        json_rows_add(array, account_object(why, inventory, account, &view, &sums, &holders));
    } else {
        print_item_name(view.sku, view.pool);
        printf(" (item %" PRIu32 ")\nstock\n", account->item);
        print_steps(inventory, account);
        print_account(why, account, &view, &sums);
        print_holders(&holders);
        putchar('\n');
    }
    free(holders.holders);
    return sums.agree;
}

static int tell_all(struct why *why, struct rebuild *rebuild, const char *name)
{
    struct inventory *inventory = rebuild->replay.inventory;
    struct json_rows array;
    bool agree = true;
    why->ahead_ms = rebuild->ahead_ms;
    if (why->count == 0) {
        return wal_failed(HF_UNKNOWN_ITEM, json, "%s: the log knows no such item", name);
    }
    if (json) {
        json_rows_open(&array);
    }
    for (uint32_t i = 0; i < why->count; i++) {
        agree = tell(why, inventory, &why->accounts[i], &array) && agree;
    }
    if (json) {
        json_rows_close(&array);
    } else {
        printf("as of LSN %" PRIu64 "\n", rebuild->replay.lsn);
    }
    if (!agree) {
        fprintf(stderr, "The sums over the log's records are not the item's numbers: the log or "
                        "this version of "
                        "holdfast has a fault.\n");
    }
    return agree ? EXIT_DONE : EXIT_NO;
}

static int explain(struct storage *storage, struct why *why, const char *name)
{
    static struct rebuild rebuild;
    const struct rebuild_options wanted = {
        .all = true,
        .from_oldest = true,
        .watch = {.context = why, .begin = begin, .before = before, .after = after}};
    int code = wal_rebuild(&rebuild, storage, wanted, json);
    if (code == ARGS_GO_ON) {
        code = tell_all(why, &rebuild, name);
        rebuild_end(&rebuild);
    }
    return code;
}

static void why_deinit(struct why *why)
{
    for (uint32_t i = 0; i < why->count; i++) {
        free(why->accounts[i].steps);
    }
    free(why->accounts);
    free(why->by_item);
    arena_deinit(&why->texts);
}

int cmd_wal_why(int argc, char **argv)
{
    static struct why why;
    struct args args;
    char reason[REASON_BYTES];
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && !parse_item(args.values[0], &why.name, reason)) {
        code = args_wrong(&spec, "'%s' %s", args.values[0], reason);
    }
    struct history_log log;
    if (code == ARGS_GO_ON) {
        code = wal_find(&log, data, archive, json);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    arena_init(&why.texts, SIZE_MAX / 4);
    code = explain(log.storage, &why, args.values[0]);
    why_deinit(&why);
    history_log_close(&log);
    return code;
}
