/* stock_any.pml - taking from two items at once as engine/core/stock.c does (stock_take_any), for
 * spin: every interleaving of a few threads.
 *
 * What is checked, on two split items of a base cell and a shard each:
 *   - no oversell: a take never leaves an item with fewer than 0 units free;
 *   - no false refusal: a take from both answers SOLD_OUT only when at some moment during the call
 *     fewer units were free of both together than it asked at least, and takes less than it asked
 *     at most only when at some moment no more was free; a take from one item as in stock.pml;
 *   - conservation: at the end the cells hold exactly what is free;
 *   - no deadlock (spin's own check of end states).
 *
 * ANY threads take from both items, half of them in the other order of preference, and give back
 * what they got. PLAIN threads start with a unit of the first item, give it back, and take one of
 * either item. No debits: they hold one lock, and stock.pml has them.
 *
 * As in stock.pml one step is one atomic operation of the C program, and memory is sequentially
 * consistent. The variants -DWITHOUT_... each leave out one part; spin must find the fault. */

#ifndef ANY
#define ANY 1
#endif
#ifndef PLAIN
#define PLAIN 1
#endif
#ifndef OPS
#define OPS 2
#endif

#define THREADS (ANY + PLAIN)
#define IDLE    3 /* of target: no call */
#define BOTH    2

#define BASE(item)  (2 * (item))
#define SHARD(item) (2 * (item) + 1)

mtype = { UNKNOWN, OK, SOLD_OUT };

byte word[4];    /* free units of each cell */
byte started[2]; /* credits_started of an item's shard */
byte done[2];    /* credits_done */
bool locked[2];  /* item->lock */
byte moves[2];   /* item->moves */

/* Ghosts; units in hand are free until the hand is full or the proof is done. */
byte free_units[2];
byte target[THREADS]; /* of the present call: an item, or BOTH */
byte lowest[THREADS]; /* of what was free of the target during the call */
byte kept;
byte finished;

#define FREE_OF(what) (what == BOTH -> free_units[0] + free_units[1] : free_units[what])

inline call_begins(what)
{
    target[id] = what;
    lowest[id] = FREE_OF(what)
}

/* Within an atomic step. */
inline lower_free(item, units)
{
    assert(free_units[item] >= units);
    free_units[item] = free_units[item] - units;
    for (g : 0 .. THREADS - 1) {
        if
        :: target[g] != IDLE && FREE_OF(target[g]) < lowest[g] -> lowest[g] = FREE_OF(target[g])
        :: else
        fi
    }
    g = 0
}

inline lock(item)
{
    atomic { !locked[item] -> locked[item] = true }
}

/* Step (a) and (b) of one item; sum grows. */
inline scan_cells(item, done_seen)
{
    done_seen = done[item];
    sum = sum + word[BASE(item)];
    sum = sum + word[SHARD(item)]
}

/* Step (c) of one item. */
inline scan_is_settled(item, done_seen)
{
#ifdef WITHOUT_CREDIT_CHECK
    skip;
#else
    settled = settled && started[item] == done_seen;
#endif
    done_seen = 0
}

/* ---- From both items ---- */

inline both_scanned()
{
    sum = 0;
    settled = true;
    scan_cells(first, done_1);
#ifdef WITHOUT_TOGETHER
    scan_is_settled(first, done_1);
#endif
    scan_cells(second, done_2)
}

inline both_settled()
{
#ifndef WITHOUT_TOGETHER
    scan_is_settled(first, done_1);
#endif
    scan_is_settled(second, done_2)
}

/* parts_proven_short() */
inline both_proven_short()
{
    moves_1 = moves[first];
    moves_2 = moves[second];
    if
    :: moves_1 % 2 == 0 && moves_2 % 2 == 0 ->
        both_scanned();
        if
        :: sum < least ->
            both_settled();
            settled = settled && moves[first] == moves_1;
            settled = settled && moves[second] == moves_2;
            if
            :: settled -> answer = SOLD_OUT
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    done_1 = 0; done_2 = 0; moves_1 = 0; moves_2 = 0; sum = 0; settled = false
}

/* take_up_to() from one cell; a full hand is the moment of the taking. */
inline take_up_to(cell, hand)
{
    atomic {
        if
        :: word[cell] > 0 && hand_1 + hand_2 < most ->
            units = (word[cell] < most - hand_1 - hand_2 -> word[cell] : most - hand_1 - hand_2);
            word[cell] = word[cell] - units;
            hand = hand + units;
            units = 0;
            if
            :: hand_1 + hand_2 == most ->
                lower_free(first, hand_1);
                lower_free(second, hand_2);
                answer = OK
            :: else
            fi
        :: else
        fi
    }
}

inline moves_change()
{
#ifndef WITHOUT_MOVES
    moves[first]++;
    moves[second]++
#else
    skip
#endif
}

/* gather_parts() */
inline gather_both()
{
#ifdef WITHOUT_ORDER
    lock(first);
    lock(second);
#else
    lock(0);
    lock(1);
#endif
    moves_change();
    do
    :: both_scanned();
       if
       :: hand_1 + hand_2 + sum < least || sum == 0 ->
           both_settled();
           if
           :: settled && hand_1 + hand_2 + sum < least ->
               word[SHARD(first)] = word[SHARD(first)] + hand_1;
               word[SHARD(second)] = word[SHARD(second)] + hand_2;
               atomic { hand_1 = 0; hand_2 = 0; answer = SOLD_OUT };
               break
           :: settled && hand_1 + hand_2 >= least ->
               atomic {
                   assert(lowest[id] <= hand_1 + hand_2);
                   lower_free(first, hand_1);
                   lower_free(second, hand_2);
                   answer = OK
               };
               break
           :: else
           fi
       :: else
       fi;
       take_up_to(BASE(first), hand_1);
       take_up_to(SHARD(first), hand_1);
       take_up_to(BASE(second), hand_2);
       take_up_to(SHARD(second), hand_2);
       if
       :: answer == OK -> break
       :: else
       fi
    od;
    done_1 = 0; done_2 = 0; sum = 0; settled = false;
    moves_change();
    locked[1] = false;
    locked[0] = false
}

/* stock_take_any() */
inline take_any()
{
    atomic {
        if
        :: least = 2; most = 2
        :: least = 1; most = 2
        :: least = 1; most = 1
        fi;
        call_begins(BOTH);
        answer = UNKNOWN
    }
    both_proven_short();
    if
    :: answer == UNKNOWN -> gather_both()
    :: else
    fi;
    atomic {
        if
        :: answer == SOLD_OUT -> assert(lowest[id] < least && hand_1 + hand_2 == 0)
        :: answer == OK -> assert(hand_1 + hand_2 >= least && hand_1 + hand_2 <= most)
        fi;
        kept = kept + hand_1 + hand_2;
        target[id] = IDLE;
        lowest[id] = 0;
        answer = UNKNOWN;
        least = 0; most = 0
    }
}

/* stock_give(): credit() */
inline give(item, units_given)
{
    if
    :: units_given > 0 ->
        started[item]++;
        atomic {
            kept = kept - units_given;
            word[SHARD(item)] = word[SHARD(item)] + units_given;
            free_units[item] = free_units[item] + units_given
        }
        done[item]++;
        units_given = 0
    :: else
    fi
}

proctype taker_of_any(byte id; byte first; byte second)
{
    byte hand_1, hand_2, least, most, units, sum, done_1, done_2, moves_1, moves_2, g, ops;
    bool settled;
    mtype answer = UNKNOWN;

    do
    :: ops < OPS && hand_1 + hand_2 == 0 -> take_any(); ops++
    :: ops < OPS && hand_1 + hand_2 > 0 -> give(first, hand_1); give(second, hand_2); ops++
    :: ops == OPS -> break
    od;
    finished++
}

/* ---- From one item ---- */

/* One unit from a cell, if it has one. */
inline take_one(cell)
{
    atomic {
        if
        :: word[cell] > 0 && answer == UNKNOWN ->
            word[cell]--;
            lower_free(item, 1);
            answer = OK
        :: else
        fi
    }
}

/* stock_take() of one unit: the own cell, proven_short(), gather(). */
inline take_plain()
{
    atomic { call_begins(item); answer = UNKNOWN }
    take_one(SHARD(item));
    if
    :: answer == UNKNOWN ->
        moves_1 = moves[item];
        if
        :: moves_1 % 2 == 0 ->
            sum = 0;
            settled = true;
            scan_cells(item, done_1);
            scan_is_settled(item, done_1);
            settled = settled && sum == 0 && moves[item] == moves_1;
            if
            :: settled -> answer = SOLD_OUT
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    if
    :: answer == UNKNOWN ->
        lock(item);
        moves[item]++;
        do
        :: sum = 0;
           settled = true;
           scan_cells(item, done_1);
           scan_is_settled(item, done_1);
           if
           :: sum == 0 && settled -> answer = SOLD_OUT
           :: else
           fi;
           take_one(BASE(item));
           take_one(SHARD(item));
           if
           :: answer != UNKNOWN -> break
           :: else
           fi
        od;
        moves[item]++;
        locked[item] = false
    :: else
    fi;
    atomic {
        if
        :: answer == SOLD_OUT -> assert(lowest[id] == 0)
        :: answer == OK -> mine = 1; kept++
        fi;
        target[id] = IDLE;
        lowest[id] = 0;
        moves_1 = 0; sum = 0; settled = false
    }
}

proctype taker_of_one(byte id)
{
    byte mine = 1;
    byte item, sum, done_1, moves_1, g;
    bool settled;
    mtype answer = UNKNOWN;

    give(item, mine);
    if
    :: item = 0
    :: item = 1
    fi;
    take_plain();
    finished++
}

init {
    byte t;

    atomic {
        /* A unit in one of the items or each, in either cell. */
        if
        :: word[BASE(1)] = 1
        :: word[SHARD(1)] = 1
        :: word[BASE(0)] = 1
        :: word[SHARD(0)] = 1; word[BASE(1)] = 1
        :: skip
        fi;
        free_units[0] = word[BASE(0)] + word[SHARD(0)];
        free_units[1] = word[BASE(1)] + word[SHARD(1)];
        kept = PLAIN;
        for (t : 0 .. THREADS - 1) {
            target[t] = IDLE
        }
        for (t : 0 .. THREADS - 1) {
            if
            :: t < ANY -> run taker_of_any(t, t % 2, 1 - t % 2)
            :: else -> run taker_of_one(t)
            fi
        }
        t = 0
    }
    finished == THREADS;
    assert(word[BASE(0)] + word[SHARD(0)] == free_units[0]);
    assert(word[BASE(1)] + word[SHARD(1)] == free_units[1]);
    assert(!locked[0] && !locked[1] && moves[0] % 2 == 0 && moves[1] % 2 == 0);
    assert(started[0] == done[0] && started[1] == done[1])
}
