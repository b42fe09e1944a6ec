/* fuzz_main.c - runs a fuzz target without libFuzzer: mutated seeds, always the same ones.
 *
 * usage: fuzz_NAME                  an ordinary test, of a second: a tenth of fuzz_runs at least
 *        fuzz_NAME FILE...          those inputs: reproducers and corpora
 *        fuzz_NAME --corpus DIR     writes seeds into DIR, for libFuzzer to begin with
 *
 * Each input has a number of its own that all of it follows from. SEED=n runs that input alone;
 * HOLDFAST_LONG=1 runs many more. Threads: one. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "lib/budget.h"

#define CORPUS_SEEDS  200u
#define FLOOR_DIVISOR 10u
#define LONG_FACTOR   100u
#define SECONDS       1.0
#define MUTATIONS_MAX 8u

static uint64_t running; /* the input's number, for who finds us dead */

/* Prints the number of the input that failed, then dies of the signal all the same. */
static void tell_seed(int number)
{
    char line[64];
    int len = snprintf(line, sizeof line, "SEED=%llu\n", (unsigned long long)running);
    (void)!write(STDERR_FILENO, line, (size_t)len);
    signal(number, SIG_DFL);
    raise(number);
}

static size_t insert_bytes(struct rng *rng, uint8_t *data, size_t size)
{
    size_t count = 1 + rng_below(rng, 16);
    if (size + count > FUZZ_INPUT_BYTES_MAX) {
        return size;
    }
    size_t at = rng_below(rng, size + 1);
    memmove(data + at + count, data + at, size - at);
    for (size_t i = 0; i < count; i++) {
        data[at + i] = (uint8_t)rng_next(rng);
    }
    return size + count;
}

static size_t remove_bytes(struct rng *rng, uint8_t *data, size_t size)
{
    size_t at = rng_below(rng, size);
    size_t count = 1 + rng_below(rng, size - at < 32 ? size - at : 32);
    count = count > size - at ? size - at : count;
    memmove(data + at, data + at + count, size - at - count);
    return size - count;
}

static void write_number(struct rng *rng, uint8_t *data, size_t size)
{
    uint64_t number = fuzz_number(rng);
    size_t width = (size_t)1 << rng_below(rng, 4);
    size_t at = rng_below(rng, size);
    memcpy(data + at, &number, width < size - at ? width : size - at);
}

/* A piece of the input over, or in between, another place of it. */
static size_t repeat_bytes(struct rng *rng, uint8_t *data, size_t size)
{
    size_t from = rng_below(rng, size);
    size_t count = 1 + rng_below(rng, size - from);
    size_t to = rng_below(rng, size);
    if (rng_chance(rng, 2)) {
        memmove(data + to, data + from, count < size - to ? count : size - to);
        return size;
    }
    if (size + count > FUZZ_INPUT_BYTES_MAX) {
        return size;
    }
    uint8_t *piece = fuzz_copy(data + from, count);
    memmove(data + to + count, data + to, size - to);
    memcpy(data + to, piece, count);
    free(piece);
    return size + count;
}

static size_t mutate(struct rng *rng, uint8_t *data, size_t size)
{
    if (size == 0) {
        return insert_bytes(rng, data, size);
    }
    switch (rng_below(rng, 7)) {
    case 0:
        data[rng_below(rng, size)] ^= (uint8_t)(1u << rng_below(rng, 8));
        return size;
    case 1:
        data[rng_below(rng, size)] = (uint8_t)rng_next(rng);
        return size;
    case 2:
        return insert_bytes(rng, data, size);
    case 3:
        return remove_bytes(rng, data, size);
    case 4:
        write_number(rng, data, size);
        return size;
    case 5:
        return repeat_bytes(rng, data, size);
    default:
        return rng_chance(rng, 4) ? rng_below(rng, size + 1) : size;
    }
}

/* The input that a number stands for: a seed, mutated or, one time in four, as it is. */
static size_t make_input(uint64_t number, uint8_t *data)
{
    struct rng rng;
    rng_init(&rng, number);
    size_t size = fuzz_seed(&rng, data, FUZZ_INPUT_BYTES_MAX);
    FUZZ_CHECK(size <= FUZZ_INPUT_BYTES_MAX, "a seed of %zu bytes", size);
    if (!rng_chance(&rng, 4)) {
        for (uint64_t count = rng_between(&rng, 1, MUTATIONS_MAX); count > 0; count--) {
            size = mutate(&rng, data, size);
        }
    }
    return size;
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 2;
    }
    static uint8_t data[1u << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout);
    run(data, size);
    return 0;
}

static int write_corpus(const char *directory)
{
    static uint8_t data[FUZZ_INPUT_BYTES_MAX];
    for (unsigned i = 0; i < CORPUS_SEEDS; i++) {
        struct rng rng;
        rng_init(&rng, i);
        size_t size = fuzz_seed(&rng, data, sizeof data);
        char path[4096];
        snprintf(path, sizeof path, "%s/seed-%03u", directory, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
            perror(path);
            return 2;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0) {
        return write_corpus(argv[2]);
    }
    for (int i = 1; i < argc; i++) {
        int failed = run_file(argv[i]);
        if (failed) {
            return failed;
        }
    }
    if (argc > 1) {
        return 0;
    }
    signal(SIGABRT, tell_seed);
    static uint8_t data[FUZZ_INPUT_BYTES_MAX];
    uint64_t first = rng_seed_from_env(1);
    struct budget budget =
        budget_make("inputs", fuzz_runs / FLOOR_DIVISOR, SECONDS, fuzz_runs * LONG_FACTOR);
    while (budget_next(&budget)) {
        running = first + budget.round;
        run(data, make_input(running, data));
    }
    return 0;
}
