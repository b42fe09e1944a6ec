/* sim_check.c - what an engine has recovered is what the model makes of a prefix of the decisions.
 *
 * Threads: one. */
#include "base/check.h"
#include "sim.h"

static void check_order(struct sim *sim, struct inventory *inventory, uint32_t number)
{
    struct id128 id = {ORDER_IDS_HI, number};
    const struct model_order *expected = model_find(&sim->model, id);
    struct order_view view;
    struct order_line_view lines[GRANTS_MAX];
    enum hf_status status = inventory_order(inventory, id, &view, lines, GRANTS_MAX);
    SIM_CHECK(sim, (status == HF_OK) == (expected != NULL), "order %u is %s", number,
              expected ? "lost" : "there, but was never decided");
    if (!expected) {
        return;
    }
    SIM_CHECK(sim, view.state == expected->state, "order %u: state %d, expected %d", number,
              view.state, expected->state);
    SIM_CHECK(sim, view.deadline_ms == expected->deadline_ms, "order %u: deadline", number);
    SIM_CHECK(sim, view.buyer == expected->buyer, "order %u: buyer", number);
    SIM_CHECK(sim, view.line_count == expected->grant_count, "order %u: grants", number);
    for (uint32_t i = 0; i < view.line_count; i++) {
        const struct order_line_view *grant = &expected->grants[i];
        SIM_CHECK(sim,
                  lines[i].item == grant->item && lines[i].qty == grant->qty &&
                      lines[i].released == grant->released &&
                      lines[i].committed == grant->committed &&
                      lines[i].returned == grant->returned,
                  "order %u: grant %u", number, i + 1);
        SIM_CHECK(sim,
                  lines[i].line == grant->line && lines[i].counted == grant->counted &&
                      lines[i].presale_qty == grant->presale_qty,
                  "order %u: what grant %u is told of", number, i + 1);
        SIM_CHECK(sim,
                  inventory_covered(inventory, &lines[i], view.state) ==
                      model_covered(&sim->model, expected, i),
                  "order %u: how much of grant %u is covered", number, i + 1);
    }
}

static void check_limits(struct sim *sim, struct inventory *inventory)
{
    for (uint32_t sku = 1; sku <= SKUS; sku++) {
        for (uint64_t buyer = 0; buyer < BUYERS; buyer++) {
            uint32_t units = inventory_buyer_units(inventory, bytes_of(sim_sku_codes[sku]), buyer);
            uint32_t expected = model_buyer_units(&sim->model, sku, buyer);
            SIM_CHECK(sim, units == expected, "SKU %u: buyer %llu has %u units, expected %u", sku,
                      (unsigned long long)buyer, units, expected);
        }
    }
}

static void check_item(struct sim *sim, struct inventory *inventory, uint32_t item)
{
    struct stock_view expected = model_stock(&sim->model, item);
    struct item_view view;
    SIM_CHECK(sim, inventory_item(inventory, item, &view) == HF_OK, "item %u is lost", item);
    SIM_CHECK(sim,
              view.stock.stocked == expected.stocked && view.stock.held == expected.held &&
                  view.stock.sold == expected.sold && view.stock.available == expected.available &&
                  view.stock.safety == expected.safety,
              "item %u: stocked %lld held %lld sold %lld, expected %lld %lld %lld", item,
              (long long)view.stock.stocked, (long long)view.stock.held, (long long)view.stock.sold,
              (long long)expected.stocked, (long long)expected.held, (long long)expected.sold);
}

void sim_rewind(struct sim *sim, uint64_t lsn)
{
    uint32_t kept = 0;
    while (kept < sim->history_count && sim->history[kept].lsn <= lsn) {
        sim->reach[REACH_DECISIONS_KEPT] += sim->history[kept++].lsn > sim->acked_lsn;
    }
    sim->reach[REACH_DECISIONS_LOST] += sim->history_count - kept;
    sim->history_count = kept;
    model_deinit(&sim->model);
    sim_model_init(sim);
    for (uint32_t i = 0; i < kept; i++) {
        struct order_outcome outcome = {.status = HF_OK};
        enum hf_status status = HF_OK;
        sim_decide(sim, &sim->history[i], &outcome, &status);
        SIM_CHECK(sim, outcome.status == HF_OK && status == HF_OK, "the history is not repeatable");
    }
}

void sim_check_state(struct sim *sim, struct engine *engine)
{
    struct inventory *inventory = engine_inventory(engine);
    for (uint32_t i = 0; i < IDS; i++) {
        check_order(sim, inventory, i);
    }
    check_limits(sim, inventory);
    for (uint32_t item = 1; item <= ITEMS; item++) {
        check_item(sim, inventory, item);
    }
    char what[256];
    SIM_CHECK(sim, inventory_verify(inventory, what, sizeof what), "%s", what);
    SIM_CHECK(sim, inventory_digest(inventory) == engine_digest(engine), "the digest differs");
}
