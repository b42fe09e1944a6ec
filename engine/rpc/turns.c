/* turns.c - who is handled next, and who is refused instead. See turns.h. */
#include "rpc/turns.h"

#include <stddef.h>

#include "base/check.h"

#define NS_PER_MS       1000000u
#define NS_PER_S        1000000000u
#define TURN_WINDOW_NS  100000000u /* of the measured rates */
#define TURN_BUSY_NS    20000000u  /* of handlers' time, between two measurements */
#define TURN_RETRY_MS   5u         /* when no rate is known */
#define REFUSED_IN_TURN 64u        /* that are refused in one turn, besides those handled */

/* ---- Lists ---- */

void arrival_list_add(struct arrival_list *list, struct arrival *arrival)
{
    arrival->next = NULL;
    if (list->first) {
        list->last->next = arrival;
    } else {
        list->first = arrival;
    }
    list->last = arrival;
}

struct arrival *arrival_list_take(struct arrival_list *list)
{
    struct arrival *arrival = list->first;
    if (arrival) {
        list->first = arrival->next;
        arrival->next = NULL;
    }
    return arrival;
}

static void ring_add(struct turn_ring *ring, struct turn_queue *queue, enum transport_class class)
{
    queue->lanes[class].next = NULL;
    if (ring->first) {
        ring->last->lanes[class].next = queue;
    } else {
        ring->first = queue;
    }
    ring->last = queue;
}

static struct turn_queue *ring_take(struct turn_ring *ring, enum transport_class class)
{
    struct turn_queue *queue = ring->first;
    CHECK(queue != NULL);
    ring->first = queue->lanes[class].next;
    return queue;
}

/* ---- Rates ---- */

/* Ends windows that are over: what was measured in them counts half as much with each. */
static void windows_end(struct turns *turns, uint64_t now_ns)
{
    uint64_t windows = (now_ns - turns->window_ns) / TURN_WINDOW_NS;
    if (now_ns < turns->window_ns || windows == 0) {
        return;
    }
    const uint64_t per_s = NS_PER_S / TURN_WINDOW_NS;
    turns->served_per_s = (turns->served_per_s + turns->window_cost * per_s) / 2;
    turns->refused_per_s = (turns->refused_per_s + turns->window_refused * per_s) / 2;
    turns->window_cost = 0;
    turns->window_refused = 0;
    turns->window_ns += windows * TURN_WINDOW_NS;
    unsigned quiet = windows - 1 < 63 ? (unsigned)(windows - 1) : 63;
    turns->served_per_s >>= quiet;
    turns->refused_per_s >>= quiet;
}

void turns_note_handled(struct turns *turns, uint64_t cost, uint64_t ns)
{
    turns->busy_ns += ns;
    turns->busy_cost += cost;
    if (turns->busy_ns >= TURN_BUSY_NS) {
        uint64_t rate = turns->busy_cost * 1000 / (turns->busy_ns / NS_PER_MS);
        turns->cost_per_s = turns->cost_per_s ? (turns->cost_per_s + rate) / 2 : rate;
        turns->busy_ns = 0;
        turns->busy_cost = 0;
    }
}

/* ---- Verdicts ---- */

bool turns_overloaded(const struct turns *turns, enum transport_class class, uint64_t now_ns)
{
    const struct turn_ring *ring = &turns->rings[class];
    return ring->arrivals > 0 && now_ns > ring->last_empty_ns &&
           now_ns - ring->last_empty_ns > turns->interval_ns;
}

/* How long an arrival may wait while its class is overloaded. */
static uint64_t wait_allowed(const struct turns *turns, const struct arrival *arrival)
{
    if (arrival->class != TRANSPORT_NEW) {
        return TURN_FINISH_TARGETS * turns->target_ns;
    }
    uint64_t most = TURN_PATIENCE_MAX * turns->target_ns;
    uint64_t patience = 0;
    if (turns->cost_per_s > 0) {
        patience = arrival->cost * TURN_PATIENCE * NS_PER_MS / (turns->cost_per_s / 1000 + 1);
    }
    patience = patience < most ? patience : most;
    return patience > turns->target_ns ? patience : turns->target_ns;
}

/* True: the arrival is refused, and says why. */
static bool refused(const struct turns *turns, struct arrival *arrival, uint64_t now_ns)
{
    uint64_t waited_ns = now_ns > arrival->received_ns ? now_ns - arrival->received_ns : 0;
    if (arrival->timeout_ms > 0 && waited_ns > (uint64_t)arrival->timeout_ms * NS_PER_MS) {
        arrival->refusal = TRANSPORT_REFUSE_LATE;
        return true;
    }
    if (turns->target_ns > 0 && waited_ns > wait_allowed(turns, arrival) &&
        turns_overloaded(turns, arrival->class, now_ns)) {
        arrival->refusal = TRANSPORT_REFUSE_OVERLOAD;
        return true;
    }
    return false;
}

/* ---- The queue ---- */

void turns_init(struct turns *turns, uint64_t target_ns, uint64_t interval_ns, uint64_t now_ns)
{
    CHECK(interval_ns > 0);
    *turns =
        (struct turns){.target_ns = target_ns, .interval_ns = interval_ns, .window_ns = now_ns};
}

uint64_t turn_cost(size_t bytes, uint64_t extra)
{
    return TURN_MESSAGE_COST + bytes + extra;
}

void turns_push(struct turns *turns, struct turn_queue *queue, struct arrival *arrival,
                uint64_t now_ns)
{
    struct turn_ring *ring = &turns->rings[arrival->class];
    struct turn_lane *lane = &queue->lanes[arrival->class];
    if (ring->arrivals == 0) {
        ring->last_empty_ns = now_ns;
    }
    arrival_list_add(&lane->list, arrival);
    ring->arrivals++;
    queue->waiting++;
    ring->cost += arrival->cost;
    if (!lane->listed) {
        lane->listed = true;
        ring->lanes++;
        ring_add(ring, queue, arrival->class);
    }
}

/* Takes a lane's first arrival out. */
static struct arrival *lane_take(struct turn_ring *ring, struct turn_queue *queue,
                                 enum transport_class class, uint64_t now_ns)
{
    struct turn_lane *lane = &queue->lanes[class];
    struct arrival *arrival = arrival_list_take(&lane->list);
    CHECK(arrival != NULL);
    CHECK(ring->arrivals > 0);
    CHECK(ring->cost >= arrival->cost);
    CHECK(queue->waiting > 0);
    queue->waiting--;
    ring->arrivals--;
    ring->cost -= arrival->cost;
    if (ring->arrivals == 0) {
        ring->last_empty_ns = now_ns;
    }
    return arrival;
}

static void refuse_arrival(struct turns *turns, struct turn_lane *lane, struct arrival *arrival,
                           struct arrival_list *refuse)
{
    lane->account -= TURN_REFUSAL_COST;
    turns->window_refused += arrival->cost;
    arrival_list_add(refuse, arrival);
}

/* The lane at the head of a ring: it stays in the ring, or leaves it when nothing waits in it. What
 * it has not used up is lost then; what it owes is not. */
static void lane_settle(struct turn_ring *ring, struct turn_queue *queue,
                        enum transport_class class)
{
    struct turn_lane *lane = &queue->lanes[class];
    CHECK(ring->first == queue);
    if (lane->list.first && lane->account > 0) {
        return;
    }
    (void)ring_take(ring, class);
    if (lane->list.first) {
        ring_add(ring, queue, class);
        return;
    }
    lane->listed = false;
    ring->lanes--;
    lane->account = lane->account < 0 ? lane->account : 0;
}

/* But for its account. */
static bool lane_is_ready(const struct turn_queue *queue, enum transport_class class, bool small)
{
    /* relaxed: a moment's lag is one request more or less. */
    return !atomic_load_explicit(&queue->clogged, memory_order_relaxed) &&
           (!small || queue->lanes[class].list.first->cost <= TURN_SMALL_COST);
}

static bool lane_may_begin(const struct turn_queue *queue, enum transport_class class, bool small)
{
    return queue->lanes[class].account > 0 && lane_is_ready(queue, class, small);
}

/* Gives each lane of a ring as many rounds as one that is ready needs to have something. */
static void ring_give_rounds(struct turn_ring *ring, enum transport_class class, bool small)
{
    int64_t best = INT64_MIN;
    for (struct turn_queue *at = ring->first; at; at = at->lanes[class].next) {
        if (at->lanes[class].account > best && lane_is_ready(at, class, small)) {
            best = at->lanes[class].account;
        }
    }
    int64_t rounds = best > 0 || best == INT64_MIN ? 0 : -best / TURN_QUANTUM + 1;
    for (struct turn_queue *at = ring->first; at && rounds > 0; at = at->lanes[class].next) {
        int64_t account = at->lanes[class].account + rounds * TURN_QUANTUM;
        at->lanes[class].account = account < TURN_QUANTUM ? account : TURN_QUANTUM;
    }
}

/* Brings a lane that may begin to the head of the ring. NULL: there is none. */
static struct turn_queue *ring_next(struct turn_ring *ring, enum transport_class class, bool small)
{
    for (unsigned pass = 0; ring->first && pass < 2; pass++) {
        unsigned look = small && ring->lanes > TURN_LOOKED_MAX ? TURN_LOOKED_MAX : ring->lanes;
        for (unsigned i = 0; i < look; i++) {
            struct turn_queue *queue = ring->first;
            if (lane_may_begin(queue, class, small)) {
                return queue;
            }
            ring_add(ring, ring_take(ring, class), class);
        }
        ring_give_rounds(ring, class, small);
    }
    return NULL;
}

/* Takes what the lane at the head of a ring may have. */
static unsigned turn_of(struct turns *turns, enum transport_class class, unsigned room, bool small,
                        uint64_t now_ns, struct arrival_list *handle, struct arrival_list *refuse)
{
    struct turn_ring *ring = &turns->rings[class];
    struct turn_queue *queue = room > 0 ? ring_next(ring, class, small) : NULL;
    if (!queue) {
        return 0;
    }
    struct turn_lane *lane = &queue->lanes[class];
    unsigned taken = 0;
    unsigned refusals = 0;
    while (lane->list.first && taken < TURN_ARRIVALS_MAX && taken < room &&
           refusals < REFUSED_IN_TURN && lane_may_begin(queue, class, small)) {
        struct arrival *first = lane->list.first;
        bool no = refused(turns, first, now_ns);
        struct arrival *arrival = lane_take(ring, queue, class, now_ns);
        if (no) {
            refuse_arrival(turns, lane, arrival, refuse);
            refusals++;
            continue;
        }
        lane->account -= (int64_t)arrival->cost;
        ring->lower_owed += arrival->cost / TURN_LOWER_PART;
        turns->window_cost += arrival->cost;
        arrival_list_add(handle, arrival);
        taken++;
    }
    lane_settle(ring, queue, class);
    return taken;
}

/* True: classes below `class` wait, and it is their turn. */
static bool lower_is_due(struct turns *turns, enum transport_class class)
{
    struct turn_ring *ring = &turns->rings[class];
    uint64_t below = 0;
    for (unsigned lower = class + 1; lower < TRANSPORT_CLASSES; lower++) {
        below += turns->rings[lower].arrivals;
    }
    if (below == 0) {
        ring->lower_owed = 0;
    }
    bool due = ring->lower_owed >= TURN_QUANTUM;
    if (due) {
        ring->lower_owed -= TURN_QUANTUM;
    }
    return due;
}

unsigned turns_take(struct turns *turns, const unsigned room[TRANSPORT_CLASSES], bool small,
                    uint64_t now_ns, struct arrival_list *handle, struct arrival_list *refuse)
{
    windows_end(turns, now_ns);
    bool skipped[TRANSPORT_CLASSES] = {false};
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        skipped[class] = turns->rings[class].arrivals > 0 && lower_is_due(turns, class);
        unsigned taken =
            skipped[class] ? 0 : turn_of(turns, class, room[class], small, now_ns, handle, refuse);
        if (taken > 0 || refuse->first) {
            return taken;
        }
    }
    /* Those below that were due had nothing that may begin. */
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        unsigned taken =
            skipped[class] ? turn_of(turns, class, room[class], small, now_ns, handle, refuse) : 0;
        if (taken > 0 || refuse->first) {
            return taken;
        }
    }
    return 0;
}

void turns_shed(struct turns *turns, uint64_t now_ns, struct arrival_list *refuse)
{
    windows_end(turns, now_ns);
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        struct turn_ring *ring = &turns->rings[class];
        unsigned lanes = ring->lanes;
        for (unsigned i = 0; i < lanes; i++) {
            struct turn_queue *queue = ring_take(ring, class);
            struct turn_lane *lane = &queue->lanes[class];
            while (lane->list.first && refused(turns, lane->list.first, now_ns)) {
                struct arrival *arrival = lane_take(ring, queue, class, now_ns);
                refuse_arrival(turns, lane, arrival, refuse);
            }
            if (lane->list.first) {
                ring_add(ring, queue, class);
            } else {
                lane->listed = false;
                ring->lanes--;
            }
        }
    }
}

void turns_clear(struct turns *turns, struct arrival_list *all)
{
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        struct turn_ring *ring = &turns->rings[class];
        while (ring->first) {
            struct turn_queue *queue = ring_take(ring, class);
            struct turn_lane *lane = &queue->lanes[class];
            while (lane->list.first) {
                arrival_list_add(all, lane_take(ring, queue, class, 0));
            }
            lane->listed = false;
            ring->lanes--;
        }
        CHECK(ring->lanes == 0);
        CHECK(ring->arrivals == 0);
    }
}

void turns_charge(struct turns *turns, struct turn_queue *queue, enum transport_class class,
                  uint64_t cost)
{
    queue->lanes[class].account -= (int64_t)cost;
    turns->rings[class].lower_owed += cost / TURN_LOWER_PART;
}

uint64_t turns_waiting(const struct turns *turns)
{
    uint64_t waiting = 0;
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        waiting += turns->rings[class].arrivals;
    }
    return waiting;
}

/* A number that looks random: SplitMix64's finalizer (Steele, Lea, Flood, 2014). */
static uint64_t draw(struct turns *turns)
{
    uint64_t x = turns->draws += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint32_t turns_retry_ms(struct turns *turns, uint64_t now_ns)
{
    windows_end(turns, now_ns);
    uint64_t work = turns->refused_per_s + turns->window_refused;
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        work += turns->rings[class].cost;
    }
    uint64_t rate = turns->served_per_s;
    uint64_t ms = rate > 0 ? work / (rate / 1000 + 1) : TURN_RETRY_MS;
    ms = ms > TURN_RETRY_MS ? ms : TURN_RETRY_MS;
    ms = ms < TURN_RETRY_MS_MAX ? ms : TURN_RETRY_MS_MAX;
    ms = ms / 2 + draw(turns) % (ms + 1);
    return ms > 0 ? (uint32_t)ms : 1;
}
