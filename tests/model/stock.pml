/* stock.pml - the protocol of engine/core/stock.c, for spin: every interleaving of a few threads.
 *
 * What is checked, on a base cell and two shards:
 *   - no oversell: a take never leaves fewer than 0 units free;
 *   - no false refusal: SOLD_OUT is said only when at some moment during the call fewer units were
 *     free than asked; likewise WOULD_OVERSELL of a debit;
 *   - conservation: at the end the cells hold exactly what is free;
 *   - no deadlock (spin's own check of end states).
 *
 * Each thread does OPS operations of its own choice: take 1 or 2 units, or give back what it has;
 * a third thread starts with a unit of its own and does one less.
 * With -DDEBIT one more thread lowers what is free by DEBIT units down to FLOOR, then raises it
 * again, as stock_debit and stock_define do.
 *
 * One step of the model is one atomic operation of the C program. A loop of load and CAS is one
 * step too: it acts at the CAS that succeeds, or gives up at a load. Memory is sequentially
 * consistent here; why acquire and release are enough is argued in stock.c.
 *
 * The variants -DWITHOUT_... each leave out one part of the protocol; spin must find the fault. */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef STOCKED
#define STOCKED 2
#endif
#ifndef FLOOR
#define FLOOR -100 /* forced */
#endif

#define IDLE  -100 /* of lowest: no call */
#define BASE  0
#define CELLS 3

short word[CELLS]; /* free units of each cell */
bool is_split;     /* bit 0 of the base cell's word */
byte started[CELLS]; /* credits_started */
byte done[CELLS];    /* credits_done */
bool locked;         /* item->lock */
byte moves;          /* item->moves */

/* Ghosts. What is free is told apart from where it lies: units in a gatherer's hand are free until
 * it has all that it wants. A debit takes place when it is done. */
short free_units;
short lowest[THREADS + 1]; /* of free_units during the thread's present call */
byte kept;                 /* units that takers have */
byte finished;

inline lower_free(qty)
{
    free_units = free_units - qty;
    for (g : 0 .. THREADS) {
        if
        :: free_units < lowest[g] -> lowest[g] = free_units
        :: else
        fi
    }
    g = 0;
}

inline lock()
{
    atomic { !locked -> locked = true; }
}

inline unlock()
{
    locked = false;
}

/* take_up_to(): adds what it took to hand; qty is what is wanted in all. A taker's gather is a
 * take at the moment when its hand is full. */
inline take_up_to(cell, is_taker)
{
    atomic {
        if
        :: word[cell] > 0 && hand < qty ->
            units = (word[cell] < qty - hand -> word[cell] : qty - hand);
            word[cell] = word[cell] - units;
            hand = hand + units;
            units = 0;
            if
            :: is_taker && hand == qty ->
                lower_free(qty);
                assert(free_units >= 0)
            :: else
            fi
        :: else
        fi
    }
}

/* scan_cells(): steps (a) and (b). sum counts the cells above 0; debt is the base's when below. */
inline scan_cells()
{
    done_1 = done[1];
    done_2 = done[2];
    atomic {
        sum = (word[BASE] > 0 -> word[BASE] : 0);
        debt = (word[BASE] < 0 -> word[BASE] : 0);
        most = word[BASE];
        richest = BASE
    }
    atomic {
        sum = sum + word[1];
        if
        :: word[1] > most -> most = word[1]; richest = 1
        :: else
        fi
    }
    atomic {
        sum = sum + word[2];
        if
        :: word[2] > most -> most = word[2]; richest = 2
        :: else
        fi;
        most = 0
    }
}

/* scan_is_settled(): step (c). */
inline scan_is_settled()
{
    settled = true;
#ifdef WITHOUT_CREDIT_CHECK
    skip;
#else
#ifdef WITHOUT_STARTED
    /* One version counter, bumped after the credit. */
    settled = (done[1] == done_1);
    settled = settled && (done[2] == done_2);
#else
    settled = (started[1] == done_1);
    settled = settled && (started[2] == done_2);
#endif
#endif
    done_1 = 0;
    done_2 = 0
}

/* gather(), and the taking of qty that it is the slow part of. */
inline gather()
{
    lock();
    moves++;
    do
    :: scan_cells();
       if
       :: hand + sum < qty ->
           scan_is_settled();
           if
           :: settled ->
               word[own] = word[own] + hand;
               hand = 0;
               answer = SOLD_OUT;
               break
           :: else
           fi
       :: else
       fi;
       /* take_from_all() */
       take_up_to(richest, true);
       take_up_to(BASE, true);
       take_up_to(1, true);
       take_up_to(2, true);
       if
       :: hand == qty ->
           answer = OK;
           hand = 0;
           break
       :: else
       fi
    od;
    if
    :: answer == OK && richest != own ->
        /* Half of the richest cell's rest into the own one. */
        half = word[richest] / 2;
        atomic {
            half = (word[richest] < half -> word[richest] : half);
            half = (half < 0 -> 0 : half);
            word[richest] = word[richest] - half
        }
        word[own] = word[own] + half;
        half = 0
    :: else
    fi;
    moves++;
    unlock();
    sum = 0; debt = 0; richest = 0; settled = false
}

/* proven_short(): answers SOLD_OUT or leaves UNKNOWN. */
inline proven_short()
{
    seen_moves = moves;
    if
#ifndef WITHOUT_MOVES
    :: seen_moves % 2 != 0
#endif
    :: else ->
        scan_cells();
        if
        :: sum < qty ->
            scan_is_settled();
#ifndef WITHOUT_MOVES
            settled = settled && (moves == seen_moves);
#endif
            if
            :: settled -> answer = SOLD_OUT
            :: else
            fi
        :: else
        fi
    fi;
    done_1 = 0; done_2 = 0; sum = 0; debt = 0; richest = 0; settled = false;
    seen_moves = 0
}

/* stock_take() */
inline stock_take()
{
    atomic {
        lowest[id] = free_units;
        answer = UNKNOWN;
        if
        :: is_split
        :: !is_split && word[BASE] < qty -> answer = SOLD_OUT
        :: !is_split && word[BASE] >= qty ->
            word[BASE] = word[BASE] - qty;
            lower_free(qty);
            assert(free_units >= 0);
            answer = OK
        fi
    }
    if
    :: answer == UNKNOWN ->
        /* take_split(): the own cell first */
        atomic {
            if
            :: word[own] >= qty ->
                word[own] = word[own] - qty;
                lower_free(qty);
                assert(free_units >= 0);
                answer = OK
            :: else
            fi
        }
    :: else
    fi;
    if
    :: answer == UNKNOWN -> proven_short()
    :: else
    fi;
    if
    :: answer == UNKNOWN -> gather()
    :: else
    fi;
    atomic {
        assert(answer != UNKNOWN);
        if
        :: answer == SOLD_OUT -> assert(lowest[id] < qty)
        :: answer == OK ->
            mine = mine + qty;
            kept = kept + qty
        fi;
        lowest[id] = IDLE;
        answer = UNKNOWN
    }
}

/* stock_give(): all that the thread has. */
inline stock_give()
{
    atomic {
        credited = false;
        if
        :: !is_split ->
            kept = kept - mine;
            word[BASE] = word[BASE] + mine;
            free_units = free_units + mine;
            credited = true
        :: else
        fi
    }
    if
    :: !credited ->
        /* credit() */
        started[own]++;
        atomic {
            if
            :: word[BASE] < 0 ->
                kept = kept - mine;
                word[BASE] = word[BASE] + mine;
                free_units = free_units + mine;
                credited = true
            :: else
            fi
        }
        if
        :: !credited ->
            atomic {
                kept = kept - mine;
                word[own] = word[own] + mine;
                free_units = free_units + mine
            }
        :: else
        fi;
        done[own]++
    :: else
    fi;
    mine = 0;
    credited = false
}

mtype = { UNKNOWN, OK, SOLD_OUT };

/* The first two threads prefer different shards, the third shares one of them. */
proctype taker(byte id; byte own)
{
    byte qty, mine, hand, units, g, ops, richest, done_1, done_2, seen_moves;
    short sum, debt, most, half;
    bool settled, credited;
    mtype answer = UNKNOWN;

    atomic {
        if
        :: id == 2 -> mine = 1; ops = 1
        :: else
        fi
    }
    do
    :: ops < OPS && mine == 0 ->
        if
        :: qty = 1
        :: qty = 2
        fi;
        stock_take();
        ops++
    :: ops < OPS && mine > 0 ->
        stock_give();
        ops++
    :: ops == OPS -> break
    od;
    finished++
}

/* note_collision(), or the operator: the item is split at any moment, or never. */
proctype splitter()
{
    is_split = true
}

#ifdef DEBIT
/* settle_debt() */
inline settle_debt()
{
#ifndef WITHOUT_SETTLE
    for (i : 1 .. 2) {
        do
        :: done_1 = done[i];
           if
           :: started[i] == done_1 -> break
           :: else
           fi
        od
    }
#endif
    for (i : 1 .. 2) {
        atomic {
            units = word[i];
            word[i] = 0
        }
        word[BASE] = word[BASE] + units;
        units = 0
    }
    i = 0; done_1 = 0
}

/* stock_debit() of a split item, then a definition that gives the units back: credit_locked(). */
proctype admin()
{
    byte hand, units, g, i, richest, done_1, done_2;
    byte own = 1;
    short qty = DEBIT;
    short sum, debt, most, seen;
    bool settled, fitted;

    lock();
    lowest[THREADS] = free_units;
    is_split; /* the path without shards is one CAS: nothing to check */
    moves++;
    do
    :: scan_cells();
       if
       :: hand + sum + debt - qty < FLOOR ->
           scan_is_settled();
           if
           :: settled ->
               word[own] = word[own] + hand;
               hand = 0;
               break
           :: else
           fi
       :: else
       fi;
       take_up_to(richest, false);
       take_up_to(BASE, false);
       take_up_to(1, false);
       take_up_to(2, false);
       if
       :: hand == qty -> fitted = true; break
       :: else
       fi;
       seen = word[BASE];
       if
       :: seen <= 0 && seen - (qty - hand) >= FLOOR ->
           atomic {
               if
               :: word[BASE] == seen ->
                   word[BASE] = word[BASE] - (qty - hand);
                   fitted = true
               :: else
               fi
           }
           if
           :: fitted -> settle_debt(); break
           :: else
           fi
       :: else
       fi
    od;
    atomic {
        hand = 0; sum = 0; debt = 0; richest = 0; seen = 0; settled = false;
        moves++;
        if
        :: fitted ->
            lower_free(qty);
            assert(free_units >= FLOOR)
        :: else -> assert(lowest[THREADS] - qty < FLOOR)
        fi;
        lowest[THREADS] = IDLE
    }
    unlock();

    lock();
    if
    :: fitted ->
        moves++;
        atomic {
            word[BASE] = word[BASE] + qty;
            free_units = free_units + qty
        }
        moves++
    :: else
    fi;
    unlock();
    finished++
}
#define ENDED (THREADS + 1)
#else
#define ENDED THREADS
#endif

init {
    byte t;

    atomic {
        /* Units anywhere, if it is split from the start. */
        word[BASE] = STOCKED;
        if
        :: is_split = true;
           if
           :: word[BASE] = 0; word[1] = STOCKED
           :: word[BASE] = STOCKED - 1; word[2] = 1
           :: word[BASE] = 0; word[1] = 1; word[2] = STOCKED - 1
           fi
        :: skip
        fi;
        free_units = STOCKED;
        for (t : 0 .. THREADS) {
            lowest[t] = IDLE
        }
        for (t : 0 .. THREADS - 1) {
            run taker(t, 1 + t % 2)
        }
        t = 0;
        kept = (THREADS > 2 -> 1 : 0);
        run splitter();
#ifdef DEBIT
        run admin()
#endif
    }
    finished == ENDED;
    assert(word[BASE] + word[1] + word[2] == free_units);
    assert(free_units + kept == STOCKED + (THREADS > 2 -> 1 : 0));
    assert(!locked && moves % 2 == 0 && started[1] == done[1] && started[2] == done[2]);
}
