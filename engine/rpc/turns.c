/* turns.c - who is handled next, and who is refused instead. See turns.h. */
#include "rpc/turns.h"

#include <stddef.h>
#include <stdlib.h>

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

/* ---- The heap ---- */

static uint64_t tag_at(const struct turn_class *class, enum transport_class of, unsigned at)
{
    return class->heap[at - 1]->lanes[of].tag;
}

/* Of two queues, whose turn comes first: of equal tags, who came first. */
static bool comes_first(const struct turn_queue *a, const struct turn_queue *b,
                        enum transport_class of)
{
    const struct turn_lane *one = &a->lanes[of];
    const struct turn_lane *other = &b->lanes[of];
    return one->tag < other->tag || (one->tag == other->tag && one->number < other->number);
}

static void heap_put(struct turn_class *class, enum transport_class of, unsigned at,
                     struct turn_queue *queue)
{
    class->heap[at - 1] = queue;
    queue->lanes[of].at = at;
}

/* Moves a queue up or down to where it belongs. */
static void heap_settle(struct turn_class *class, enum transport_class of, unsigned at)
{
    struct turn_queue *queue = class->heap[at - 1];
    while (at > 1 && comes_first(queue, class->heap[at / 2 - 1], of)) {
        heap_put(class, of, at, class->heap[at / 2 - 1]);
        at /= 2;
    }
    for (;;) {
        unsigned child = 2 * at;
        if (child < class->lanes && comes_first(class->heap[child], class->heap[child - 1], of)) {
            child++;
        }
        if (child > class->lanes || !comes_first(class->heap[child - 1], queue, of)) {
            break;
        }
        heap_put(class, of, at, class->heap[child - 1]);
        at = child;
    }
    heap_put(class, of, at, queue);
}

/* Where a lane's turn is that has nothing in the heap: where its last one ended, or ahead of those
 * that had as much as a turn since. */
static uint64_t lane_tag(const struct turn_class *class, const struct turn_lane *lane)
{
    uint64_t least = class->tag > TURN_QUANTUM ? class->tag - TURN_QUANTUM : 0;
    return lane->tag > least ? lane->tag : least;
}

/* Puts a queue in which something waits into the heap. */
static void heap_add(struct turns *turns, enum transport_class of, struct turn_queue *queue,
                     uint64_t now_ns)
{
    struct turn_class *class = &turns->classes[of];
    struct turn_lane *lane = &queue->lanes[of];
    CHECK(lane->at == 0);
    CHECK(lane->arrivals > 0);
    CHECK(class->lanes < turns->lanes_max);
    if (class->arrivals == 0) {
        class->last_empty_ns = now_ns;
    }
    lane->tag = lane_tag(class, lane);
    lane->number = turns->numbers++;
    class->arrivals += lane->arrivals;
    class->cost += lane->cost;
    heap_put(class, of, ++class->lanes, queue);
    heap_settle(class, of, class->lanes);
}

static void heap_remove(struct turns *turns, enum transport_class of, struct turn_queue *queue,
                        uint64_t now_ns)
{
    struct turn_class *class = &turns->classes[of];
    struct turn_lane *lane = &queue->lanes[of];
    unsigned at = lane->at;
    CHECK(at >= 1);
    CHECK(at <= class->lanes);
    CHECK(class->heap[at - 1] == queue);
    struct turn_queue *last = class->heap[class->lanes - 1];
    class->lanes--;
    lane->at = 0;
    if (last != queue) {
        heap_put(class, of, at, last);
        heap_settle(class, of, at);
    }
    CHECK(class->arrivals >= lane->arrivals);
    class->arrivals -= lane->arrivals;
    class->cost -= lane->cost;
    if (class->arrivals == 0) {
        class->last_empty_ns = now_ns;
    }
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
    const struct turn_class *queue = &turns->classes[class];
    return now_ns < queue->refused_ns || (queue->arrivals > 0 && now_ns > queue->last_empty_ns &&
                                          now_ns - queue->last_empty_ns > turns->interval_ns);
}

/* How long a lane's first arrival may wait while its class is overloaded. */
static uint64_t wait_allowed(const struct turns *turns, const struct turn_lane *lane)
{
    const struct arrival *arrival = lane->list.first;
    if (arrival->class != TRANSPORT_NEW) {
        return TURN_FINISH_TARGETS * turns->target_ns;
    }
    uint64_t most = TURN_PATIENCE_MAX * turns->target_ns;
    uint64_t patience = 0;
    if (turns->cost_per_s > 0) {
        patience = arrival->cost * TURN_PATIENCE * NS_PER_MS / (turns->cost_per_s / 1000 + 1);
    }
    if (lane->arrivals == 1 && lane->tag <= turns->classes[TRANSPORT_NEW].tag) {
        patience = most; /* it is not he who overloads: a thread that is slow to run is no reason */
    }
    patience = patience < most ? patience : most;
    return patience > turns->target_ns ? patience : turns->target_ns;
}

/* True: a lane's first arrival is refused, and says why. */
static bool refused(const struct turns *turns, const struct turn_lane *lane, uint64_t now_ns)
{
    struct arrival *arrival = lane->list.first;
    uint64_t waited_ns = now_ns > arrival->received_ns ? now_ns - arrival->received_ns : 0;
    if (arrival->timeout_ms > 0 && waited_ns > (uint64_t)arrival->timeout_ms * NS_PER_MS) {
        arrival->refusal = TRANSPORT_REFUSE_LATE;
        return true;
    }
    if (turns->target_ns > 0 && waited_ns > wait_allowed(turns, lane) &&
        turns_overloaded(turns, arrival->class, now_ns)) {
        arrival->refusal = TRANSPORT_REFUSE_OVERLOAD;
        return true;
    }
    return false;
}

/* ---- The queue ---- */

bool turns_init(struct turns *turns, unsigned lanes_max, uint64_t target_ns, uint64_t interval_ns,
                uint64_t now_ns)
{
    CHECK(interval_ns > 0);
    CHECK(lanes_max > 0);
    *turns = (struct turns){.lanes_max = lanes_max,
                            .target_ns = target_ns,
                            .interval_ns = interval_ns,
                            .window_ns = now_ns};
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        turns->classes[class].heap = calloc(lanes_max, sizeof *turns->classes[class].heap);
        if (!turns->classes[class].heap) {
            turns_deinit(turns);
            return false;
        }
    }
    return true;
}

void turns_deinit(struct turns *turns)
{
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        CHECK(turns->classes[class].lanes == 0);
        free(turns->classes[class].heap);
        turns->classes[class].heap = NULL;
    }
}

uint64_t turn_cost(size_t bytes, uint64_t extra)
{
    return TURN_MESSAGE_COST + bytes + extra;
}

void turns_push(struct turns *turns, struct turn_queue *queue, struct arrival *arrival,
                uint64_t now_ns)
{
    struct turn_class *class = &turns->classes[arrival->class];
    struct turn_lane *lane = &queue->lanes[arrival->class];
    /* What was set aside stays so until turns_unclog(): it is not in the heap, with arrivals. */
    bool aside = lane->at == 0 && lane->arrivals > 0;
    arrival_list_add(&lane->list, arrival);
    lane->arrivals++;
    lane->cost += arrival->cost;
    queue->waiting++;
    turns->waiting++;
    if (lane->at > 0) {
        class->arrivals++;
        class->cost += arrival->cost;
    } else if (!aside) {
        heap_add(turns, arrival->class, queue, now_ns);
    }
}

/* Takes a lane's first arrival out. When it was the last, the lane leaves the heap. */
static struct arrival *lane_take(struct turns *turns, struct turn_queue *queue,
                                 enum transport_class of, uint64_t now_ns)
{
    struct turn_class *class = &turns->classes[of];
    struct turn_lane *lane = &queue->lanes[of];
    struct arrival *arrival = arrival_list_take(&lane->list);
    CHECK(arrival != NULL);
    CHECK(lane->arrivals > 0);
    CHECK(lane->cost >= arrival->cost);
    CHECK(queue->waiting > 0);
    if (lane->at > 0) {
        CHECK(class->arrivals > 0);
        CHECK(class->cost >= arrival->cost);
        class->arrivals--;
        class->cost -= arrival->cost;
    }
    lane->arrivals--;
    lane->cost -= arrival->cost;
    queue->waiting--;
    turns->waiting--;
    if (lane->at > 0 && lane->arrivals == 0) {
        heap_remove(turns, of, queue, now_ns);
    }
    return arrival;
}

/* Counts what a lane has had. */
static void lane_charge(struct turns *turns, struct turn_queue *queue, enum transport_class of,
                        uint64_t cost)
{
    struct turn_class *class = &turns->classes[of];
    struct turn_lane *lane = &queue->lanes[of];
    lane->tag = lane_tag(class, lane) + cost;
    class->lower_owed += cost / TURN_LOWER_PART;
    if (lane->at > 0) {
        heap_settle(class, of, lane->at);
    }
}

static void lane_refuse(struct turns *turns, struct turn_queue *queue, enum transport_class of,
                        uint64_t now_ns, struct arrival_list *refuse)
{
    struct arrival *arrival = lane_take(turns, queue, of, now_ns);
    lane_charge(turns, queue, of, TURN_REFUSAL_COST);
    turns->window_refused += arrival->cost;
    if (arrival->refusal == TRANSPORT_REFUSE_OVERLOAD) {
        turns->classes[of].refused_ns = now_ns + turns->interval_ns;
    }
    arrival_list_add(refuse, arrival);
}

static bool is_clogged(const struct turn_queue *queue)
{
    /* relaxed: who takes it back calls turns_unclog() afterwards, with the lock. */
    return atomic_load_explicit(&queue->clogged, memory_order_relaxed);
}

/* The queue whose turn it is. NULL: there is none. Those that are clogged are set aside. */
static struct turn_queue *class_next(struct turns *turns, enum transport_class of, bool small,
                                     uint64_t now_ns)
{
    struct turn_class *class = &turns->classes[of];
    while (class->lanes > 0 && is_clogged(class->heap[0])) {
        heap_remove(turns, of, class->heap[0], now_ns);
    }
    if (!small) {
        return class->lanes > 0 ? class->heap[0] : NULL;
    }
    /* A heap is not sorted, but who is near its top has had little. */
    struct turn_queue *best = NULL;
    for (unsigned i = 0; i < class->lanes && i < TURN_LOOKED_MAX; i++) {
        struct turn_queue *queue = class->heap[i];
        bool fits = queue->lanes[of].list.first->cost <= TURN_SMALL_COST && !is_clogged(queue);
        if (fits && (!best || comes_first(queue, best, of))) {
            best = queue;
        }
    }
    return best;
}

/* Takes a turn of a class. */
static unsigned turn_of(struct turns *turns, enum transport_class of, unsigned room, bool small,
                        uint64_t now_ns, struct arrival_list *handle, struct arrival_list *refuse)
{
    struct turn_class *class = &turns->classes[of];
    struct turn_queue *queue = room > 0 ? class_next(turns, of, small, now_ns) : NULL;
    if (!queue) {
        return 0;
    }
    struct turn_lane *lane = &queue->lanes[of];
    unsigned taken = 0;
    unsigned refusals = 0;
    uint64_t cost = 0;
    uint64_t least = tag_at(class, of, 1);
    CHECK(least + TURN_QUANTUM >= class->tag);
    class->tag = least > class->tag ? least : class->tag;
    while (lane->arrivals > 0 && taken < TURN_ARRIVALS_MAX && taken < room &&
           refusals < REFUSED_IN_TURN && cost < TURN_QUANTUM &&
           (!small || lane->list.first->cost <= TURN_SMALL_COST)) {
        if (refused(turns, lane, now_ns)) {
            lane_refuse(turns, queue, of, now_ns, refuse);
            refusals++;
            continue;
        }
        struct arrival *arrival = lane_take(turns, queue, of, now_ns);
        cost += arrival->cost;
        arrival_list_add(handle, arrival);
        taken++;
    }
    lane_charge(turns, queue, of, cost);
    turns->window_cost += cost;
    return taken;
}

/* True: classes below `class` wait, and it is their turn. */
static bool lower_is_due(struct turns *turns, enum transport_class of)
{
    struct turn_class *class = &turns->classes[of];
    uint64_t below = 0;
    for (unsigned lower = of + 1; lower < TRANSPORT_CLASSES; lower++) {
        below += turns->classes[lower].arrivals;
    }
    if (below == 0) {
        class->lower_owed = 0;
    }
    bool due = class->lower_owed >= TURN_QUANTUM;
    if (due) {
        class->lower_owed -= TURN_QUANTUM;
    }
    return due;
}

unsigned turns_take(struct turns *turns, const unsigned room[TRANSPORT_CLASSES], bool small,
                    uint64_t now_ns, struct arrival_list *handle, struct arrival_list *refuse)
{
    windows_end(turns, now_ns);
    bool skipped[TRANSPORT_CLASSES] = {false};
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        skipped[class] = turns->classes[class].arrivals > 0 && lower_is_due(turns, class);
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
    for (unsigned of = 0; of < TRANSPORT_CLASSES; of++) {
        struct turn_class *class = &turns->classes[of];
        /* From the end: what leaves the heap is replaced by one that was looked at, or below it. */
        for (unsigned i = class->lanes; i > 0; i--) {
            if (i > class->lanes) {
                continue;
            }
            struct turn_queue *queue = class->heap[i - 1];
            struct turn_lane *lane = &queue->lanes[of];
            while (lane->arrivals > 0 && refused(turns, lane, now_ns)) {
                lane_refuse(turns, queue, of, now_ns, refuse);
            }
        }
    }
}

void turns_unclog(struct turns *turns, struct turn_queue *queue, uint64_t now_ns)
{
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        if (queue->lanes[class].at == 0 && queue->lanes[class].arrivals > 0) {
            heap_add(turns, class, queue, now_ns);
        }
    }
}

void turns_clear_queue(struct turns *turns, struct turn_queue *queue, uint64_t now_ns,
                       struct arrival_list *all)
{
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        while (queue->lanes[class].arrivals > 0) {
            arrival_list_add(all, lane_take(turns, queue, class, now_ns));
        }
        CHECK(queue->lanes[class].at == 0);
    }
    CHECK(queue->waiting == 0);
}

void turns_clear(struct turns *turns, uint64_t now_ns, struct arrival_list *all)
{
    for (unsigned class = 0; class < TRANSPORT_CLASSES; class ++) {
        while (turns->classes[class].lanes > 0) {
            turns_clear_queue(turns, turns->classes[class].heap[0], now_ns, all);
        }
        CHECK(turns->classes[class].arrivals == 0);
    }
}

void turns_charge(struct turns *turns, struct turn_queue *queue, enum transport_class class,
                  uint64_t cost)
{
    lane_charge(turns, queue, class, cost);
}

uint64_t turns_waiting(const struct turns *turns)
{
    return turns->waiting;
}

uint64_t turns_share(const struct turns *turns, const struct turn_queue *queue, uint64_t now_ns)
{
    const struct turn_class *class = &turns->classes[TRANSPORT_NEW];
    const struct turn_lane *lane = &queue->lanes[TRANSPORT_NEW];
    if (turns->target_ns == 0 || class->lanes == 0 || lane->arrivals == 0 ||
        !turns_overloaded(turns, TRANSPORT_NEW, now_ns)) {
        return UINT64_MAX;
    }
    uint64_t targets_ms = 2 * turns->target_ns / NS_PER_MS;
    uint64_t share = turns->served_per_s / 1000 * targets_ms / class->lanes;
    return share > lane->cost ? share - lane->cost : 0;
}

void turns_note_refused(struct turns *turns, uint64_t cost, uint64_t now_ns)
{
    turns->classes[TRANSPORT_NEW].refused_ns = now_ns + turns->interval_ns;
    turns->window_refused += cost;
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
        work += turns->classes[class].cost;
    }
    uint64_t rate = turns->served_per_s;
    uint64_t ms = rate > 0 ? work / (rate / 1000 + 1) : TURN_RETRY_MS;
    ms = ms > TURN_RETRY_MS ? ms : TURN_RETRY_MS;
    ms = ms < TURN_RETRY_MS_MAX ? ms : TURN_RETRY_MS_MAX;
    ms = ms / 2 + draw(turns) % (ms + 1);
    return ms > 0 ? (uint32_t)ms : 1;
}
