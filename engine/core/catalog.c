/* catalog.c - SKUs and items by name, in hash tables that readers use without a lock.
 *
 * Threads: any reader; one writer.
 * Invariants: a slot of a table never changes once it is set; tables are at most half full; an
 * item's and a SKU's memory is complete before a slot or a count leads to it. */
#include "core/catalog.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/pages.h"
#include "base/schedule.h"
#include "base/spin.h"

struct sku {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t version; /* odd while the rules change */
    _Atomic uint32_t limit_per_buyer;
    _Atomic uint32_t hold_ms;
    _Atomic uint32_t hold_ms_max;
    _Atomic uint64_t opens_at_ms;
    _Atomic uint64_t closes_at_ms;
    _Atomic(const struct catalog_text *) label;
    const struct catalog_text *code;
    _Atomic uint32_t first_item;
    uint32_t last_item; /* the writer's */
    atomic_bool paused;
};

static_assert(sizeof(struct sku) == CACHE_LINE_BYTES, "a SKU's rules are one cache line");

/* A reserve reads sku and presale: they are in one aligned word, so in one cache line. */
struct item {
    const struct catalog_text *pool;
    uint32_t sku;
    atomic_bool presale;
    atomic_bool hot;
    _Atomic uint32_t next; /* the next item of the same SKU */
};

static_assert(offsetof(struct item, sku) / 8 == offsetof(struct item, presale) / 8, "one word");

/* A slot is 32 bits of the name's hash << 32 | number; 0 when empty. */
struct table {
    _Atomic uint64_t *slots;
    uint64_t mask;
};

struct catalog {
    uint32_t items_max;
    _Atomic uint32_t item_count;
    _Atomic uint32_t sku_count;
    struct sku *skus;   /* by number; 0 is unused */
    struct item *items; /* by handle; 0 is unused */
    struct table sku_table;
    struct table item_table;
    struct arena names; /* the writer's */
    pthread_mutex_t sorted_mutex;
    uint32_t *sorted; /* SKU numbers by code */
    uint32_t sorted_count;
};

static const struct catalog_text empty_text = {0};

static uint64_t table_capacity(uint32_t items_max)
{
    uint64_t capacity = 16;
    while (capacity < 2 * (uint64_t)items_max) {
        capacity *= 2;
    }
    return capacity;
}

enum hf_status catalog_init(struct catalog **out, uint32_t items_max)
{
    CHECK(items_max >= 1 && items_max <= ITEMS_MAX);
    struct catalog *catalog = calloc(1, sizeof *catalog);
    if (!catalog) {
        return HF_NO_MEMORY;
    }
    uint64_t count = (uint64_t)items_max + 1;
    uint64_t capacity = table_capacity(items_max);
    catalog->items_max = items_max;
    catalog->skus = pages_map(count * sizeof(struct sku));
    catalog->items = pages_map(count * sizeof(struct item));
    catalog->sorted = pages_map(count * sizeof(uint32_t));
    catalog->sku_table = (struct table){pages_map(capacity * sizeof(uint64_t)), capacity - 1};
    catalog->item_table = (struct table){pages_map(capacity * sizeof(uint64_t)), capacity - 1};
    arena_init(&catalog->names, SIZE_MAX / 4);
    pthread_mutex_init(&catalog->sorted_mutex, NULL);
    if (!catalog->skus || !catalog->items || !catalog->sorted || !catalog->sku_table.slots ||
        !catalog->item_table.slots) {
        catalog_deinit(catalog);
        return HF_NO_MEMORY;
    }
    *out = catalog;
    return HF_OK;
}

void catalog_deinit(struct catalog *catalog)
{
    if (!catalog) {
        return;
    }
    uint64_t count = (uint64_t)catalog->items_max + 1;
    uint64_t capacity = table_capacity(catalog->items_max);
    pages_unmap(catalog->skus, count * sizeof(struct sku));
    pages_unmap(catalog->items, count * sizeof(struct item));
    pages_unmap(catalog->sorted, count * sizeof(uint32_t));
    pages_unmap((void *)catalog->sku_table.slots, capacity * sizeof(uint64_t));
    pages_unmap((void *)catalog->item_table.slots, capacity * sizeof(uint64_t));
    arena_deinit(&catalog->names);
    pthread_mutex_destroy(&catalog->sorted_mutex);
    free(catalog);
}

static bool text_is(const struct catalog_text *text, struct bytes bytes)
{
    return text->len == bytes.len && memcmp(text->data, bytes.data, bytes.len) == 0;
}

static struct bytes text_bytes(const struct catalog_text *text)
{
    return (struct bytes){text->data, text->len};
}

static uint64_t sku_hash(struct bytes code)
{
    return hash_bytes(code.data, code.len);
}

static uint64_t item_hash(uint32_t sku, struct bytes pool)
{
    return hash_u64(hash_bytes(pool.data, pool.len) + sku * 0x9E3779B97F4A7C15ull);
}

/* The slot at `at`; acquire: pairs with the release in table_put. */
static uint64_t table_slot(const struct table *table, uint64_t at)
{
    return atomic_load_explicit(&table->slots[at & table->mask], memory_order_acquire);
}

static void table_put(struct table *table, uint64_t hash, uint32_t number)
{
    uint64_t at = hash;
    CHECK(number != 0);
    while (table_slot(table, at) != 0) {
        at++;
    }
    atomic_store_explicit(&table->slots[at & table->mask], (hash & ~0xFFFFFFFFull) | number,
                          memory_order_release);
}

uint32_t catalog_items(const struct catalog *catalog)
{
    /* acquire: pairs with the release in catalog_add_item. */
    return atomic_load_explicit(&catalog->item_count, memory_order_acquire);
}

uint32_t catalog_skus(const struct catalog *catalog)
{
    /* acquire: pairs with the release in catalog_add_sku. */
    return atomic_load_explicit(&catalog->sku_count, memory_order_acquire);
}

uint32_t catalog_find_sku(const struct catalog *catalog, struct bytes code)
{
    uint64_t hash = sku_hash(code);
    uint64_t slot;
    for (uint64_t at = hash; (slot = table_slot(&catalog->sku_table, at)) != 0; at++) {
        if (slot >> 32 == hash >> 32 && text_is(catalog->skus[(uint32_t)slot].code, code)) {
            return (uint32_t)slot;
        }
    }
    return 0;
}

uint32_t catalog_find_item(const struct catalog *catalog, uint32_t sku, struct bytes pool)
{
    uint64_t hash = item_hash(sku, pool);
    uint64_t slot;
    for (uint64_t at = hash; (slot = table_slot(&catalog->item_table, at)) != 0; at++) {
        const struct item *item = &catalog->items[(uint32_t)slot];
        if (slot >> 32 == hash >> 32 && item->sku == sku && text_is(item->pool, pool)) {
            return (uint32_t)slot;
        }
    }
    return 0;
}

uint32_t catalog_item_sku(const struct catalog *catalog, uint32_t item)
{
    CHECK(item >= 1 && item <= catalog->items_max);
    return catalog->items[item].sku;
}

struct bytes catalog_item_pool(const struct catalog *catalog, uint32_t item)
{
    CHECK(item >= 1 && item <= catalog->items_max);
    return text_bytes(catalog->items[item].pool);
}

bool catalog_item_hot(const struct catalog *catalog, uint32_t item)
{
    CHECK(item >= 1 && item <= catalog->items_max);
    return atomic_load_explicit(&catalog->items[item].hot, memory_order_relaxed);
}

struct bytes catalog_sku_code(const struct catalog *catalog, uint32_t sku)
{
    CHECK(sku >= 1 && sku <= catalog->items_max);
    return text_bytes(catalog->skus[sku].code);
}

/* Begins and ends a reading of a SKU's rules: repeat it while rule_read_failed. The loads between
 * are acquire, so that none moves after the second load of the version. Each pairs with the release
 * store of its field in catalog_set_rule: a reader that sees a new field also sees the odd version.
 */
static uint32_t rule_read_begin(const struct sku *sku)
{
    unsigned step = 0;
    uint32_t version;
    while ((version = atomic_load_explicit(&sku->version, memory_order_acquire)) & 1u) {
        spin_pause(step++);
    }
    return version;
}

static bool rule_read_failed(const struct sku *sku, uint32_t version)
{
    SCHEDULE_POINT("catalog.rule_read");
    return atomic_load_explicit(&sku->version, memory_order_relaxed) != version;
}

void catalog_sale_rule(const struct catalog *catalog, uint32_t item, struct sale_rule *rule)
{
    const struct item *at = &catalog->items[item];
    const struct sku *sku = &catalog->skus[at->sku];
    rule->sku = at->sku;
    /* acquire: pairs with the release in catalog_set_presale. */
    rule->presale = atomic_load_explicit(&at->presale, memory_order_acquire);
    uint32_t version;
    do {
        version = rule_read_begin(sku);
        rule->limit_per_buyer = atomic_load_explicit(&sku->limit_per_buyer, memory_order_acquire);
        rule->opens_at_ms = atomic_load_explicit(&sku->opens_at_ms, memory_order_acquire);
        SCHEDULE_POINT("catalog.rule");
        rule->closes_at_ms = atomic_load_explicit(&sku->closes_at_ms, memory_order_acquire);
        rule->hold_ms = atomic_load_explicit(&sku->hold_ms, memory_order_acquire);
        rule->hold_ms_max = atomic_load_explicit(&sku->hold_ms_max, memory_order_acquire);
        rule->paused = atomic_load_explicit(&sku->paused, memory_order_acquire);
    } while (rule_read_failed(sku, version));
}

void catalog_prefetch(const struct catalog *catalog, uint32_t item)
{
    __builtin_prefetch(&catalog->skus[catalog->items[item].sku]);
}

void catalog_sku_rule(const struct catalog *catalog, uint32_t number, struct sku_rule *rule)
{
    CHECK(number >= 1 && number <= catalog->items_max);
    const struct sku *sku = &catalog->skus[number];
    uint32_t version;
    do {
        version = rule_read_begin(sku);
        rule->sku = text_bytes(sku->code);
        rule->label = text_bytes(atomic_load_explicit(&sku->label, memory_order_acquire));
        rule->limit_per_buyer = atomic_load_explicit(&sku->limit_per_buyer, memory_order_acquire);
        rule->opens_at_ms = atomic_load_explicit(&sku->opens_at_ms, memory_order_acquire);
        SCHEDULE_POINT("catalog.sku_rule");
        rule->closes_at_ms = atomic_load_explicit(&sku->closes_at_ms, memory_order_acquire);
        rule->hold_ms = atomic_load_explicit(&sku->hold_ms, memory_order_acquire);
        rule->hold_ms_max = atomic_load_explicit(&sku->hold_ms_max, memory_order_acquire);
        rule->paused = atomic_load_explicit(&sku->paused, memory_order_acquire);
    } while (rule_read_failed(sku, version));
}

uint32_t catalog_next_item(const struct catalog *catalog, uint32_t sku, uint32_t item)
{
    CHECK(item <= catalog->items_max);
    CHECK(sku <= catalog->items_max);
    /* acquire: pairs with the release in catalog_add_item. */
    return item ? atomic_load_explicit(&catalog->items[item].next, memory_order_acquire)
                : atomic_load_explicit(&catalog->skus[sku].first_item, memory_order_acquire);
}

static int compare_bytes(struct bytes a, struct bytes b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_skus(const void *a, const void *b, void *catalog)
{
    return compare_bytes(catalog_sku_code(catalog, *(const uint32_t *)a),
                         catalog_sku_code(catalog, *(const uint32_t *)b));
}

uint32_t catalog_next_sku(struct catalog *catalog, struct bytes after)
{
    mutex_lock(&catalog->sorted_mutex);
    uint32_t count = catalog_skus(catalog);
    if (catalog->sorted_count < count) {
        while (catalog->sorted_count < count) {
            catalog->sorted[catalog->sorted_count] = catalog->sorted_count + 1;
            SCHEDULE_POINT("catalog.sort");
            catalog->sorted_count++;
        }
        qsort_r(catalog->sorted, count, sizeof(uint32_t), compare_skus, catalog);
    }
    CHECK(catalog->sorted_count == count);
    uint32_t low = 0;
    uint32_t high = catalog->sorted_count;
    while (low < high && after.len > 0) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_bytes(catalog_sku_code(catalog, catalog->sorted[middle]), after) > 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    uint32_t sku = low < catalog->sorted_count ? catalog->sorted[low] : 0;
    mutex_unlock(&catalog->sorted_mutex);
    return sku;
}

const struct catalog_text *catalog_intern(struct catalog *catalog, struct bytes text)
{
    if (text.len == 0) {
        return &empty_text;
    }
    struct catalog_text *copy = arena_alloc(&catalog->names, sizeof *copy + text.len);
    if (copy) {
        CHECK(text.len <= UINT32_MAX);
        copy->len = (uint32_t)text.len;
        memcpy(copy->data, text.data, text.len);
    }
    return copy;
}

uint32_t catalog_add_sku(struct catalog *catalog, const struct catalog_text *code)
{
    uint32_t number = catalog_skus(catalog) + 1;
    CHECK(number <= catalog->items_max);
    CHECK(code != NULL && code->len >= 1);
    struct sku *sku = &catalog->skus[number];
    SCHEDULE_POINT("catalog.add_sku");
    sku->code = code;
    atomic_store_explicit(&sku->label, &empty_text, memory_order_relaxed);
    /* release: pairs with the acquire in catalog_skus. */
    atomic_store_explicit(&catalog->sku_count, number, memory_order_release);
    SCHEDULE_POINT("catalog.sku_added");
    table_put(&catalog->sku_table, sku_hash(text_bytes(code)), number);
    return number;
}

void catalog_set_rule(struct catalog *catalog, uint32_t number, const struct sku_rule *rule,
                      const struct catalog_text *label)
{
    CHECK(number >= 1 && number <= catalog_skus(catalog));
    struct sku *sku = &catalog->skus[number];
    uint32_t version = atomic_load_explicit(&sku->version, memory_order_relaxed);
    CHECK(!(version & 1u));
    atomic_store_explicit(&sku->version, version + 1, memory_order_relaxed);
    SCHEDULE_POINT("catalog.rule_odd");
    /* release, each: pairs with the acquire in rule readers, see rule_read_begin. */
    atomic_store_explicit(&sku->limit_per_buyer, rule->limit_per_buyer, memory_order_release);
    SCHEDULE_POINT("catalog.rule_set");
    atomic_store_explicit(&sku->opens_at_ms, rule->opens_at_ms, memory_order_release);
    atomic_store_explicit(&sku->closes_at_ms, rule->closes_at_ms, memory_order_release);
    atomic_store_explicit(&sku->hold_ms, rule->hold_ms, memory_order_release);
    atomic_store_explicit(&sku->hold_ms_max, rule->hold_ms_max, memory_order_release);
    SCHEDULE_POINT("catalog.rule_set");
    atomic_store_explicit(&sku->paused, rule->paused, memory_order_release);
    if (label) {
        atomic_store_explicit(&sku->label, label, memory_order_release);
    }
    SCHEDULE_POINT("catalog.rule_even");
    /* release: pairs with the acquire in rule_read_begin. */
    atomic_store_explicit(&sku->version, version + 2, memory_order_release);
}

uint32_t catalog_add_item(struct catalog *catalog, uint32_t sku_number,
                          const struct catalog_text *pool, bool hot)
{
    uint32_t handle = catalog_items(catalog) + 1;
    CHECK(handle <= catalog->items_max);
    CHECK(sku_number >= 1 && sku_number <= catalog_skus(catalog));
    CHECK(pool != NULL);
    struct sku *sku = &catalog->skus[sku_number];
    struct item *item = &catalog->items[handle];
    SCHEDULE_POINT("catalog.add_item");
    item->pool = pool;
    item->sku = sku_number;
    atomic_store_explicit(&item->hot, hot, memory_order_relaxed);
    /* release, all three: pair with catalog_items, catalog_next_item. */
    atomic_store_explicit(&catalog->item_count, handle, memory_order_release);
    SCHEDULE_POINT("catalog.item_counted");
    _Atomic uint32_t *link =
        sku->last_item ? &catalog->items[sku->last_item].next : &sku->first_item;
    atomic_store_explicit(link, handle, memory_order_release);
    sku->last_item = handle;
    SCHEDULE_POINT("catalog.item_linked");
    table_put(&catalog->item_table, item_hash(sku_number, text_bytes(pool)), handle);
    return handle;
}

void catalog_set_hot(struct catalog *catalog, uint32_t item, bool hot)
{
    CHECK(item >= 1 && item <= catalog_items(catalog));
    atomic_store_explicit(&catalog->items[item].hot, hot, memory_order_relaxed);
}

void catalog_set_presale(struct catalog *catalog, uint32_t item, bool presale)
{
    CHECK(item >= 1 && item <= catalog->items_max);
    SCHEDULE_POINT("catalog.presale");
    /* release: pairs with the acquire in catalog_sale_rule. */
    atomic_store_explicit(&catalog->items[item].presale, presale, memory_order_release);
}

bool catalog_item_presale(const struct catalog *catalog, uint32_t item)
{
    /* acquire: pairs with the release in catalog_set_presale. */
    return atomic_load_explicit(&catalog->items[item].presale, memory_order_acquire);
}
