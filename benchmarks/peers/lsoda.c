/* LSODA of a library that is handed in, restarted at every edge, with a right-hand side in C. */
#include <string.h>
#include "rates.h"

typedef void (*right_hand_side)(double, double *, double *, void *);
typedef void (*lsoda_wrapper)(right_hand_side, int, double *, void *, int, double *, double *,
                              double, double, int, int *);
enum { MOST_STEPS = 100000 };

static long calls;

static void states(double day, double *y, double *dy, void *now) {
  const struct piece *piece = now;
  const struct terms t = terms_of(day, y, piece);
  rate_of(&t, y, dy, piece->p);
  calls++;
}

static void states_and_sensitivities(double day, double *y, double *dy, void *now) {
  const struct piece *piece = now;
  const struct terms t = terms_of(day, y, piece);
  rate_of(&t, y, dy, piece->p);
  for (int k = 0; k < SENSITIVE; k++)
    sensitivity_of(&t, y, y + STATES * (1 + k), dy + STATES * (1 + k), piece->p, k);
  calls++;
}

/* Write log burden and its sensitivities, (patients, visits, READ); failed patients are counted. */
long lsoda_all(const struct patients *all, double rtol, int sensitivities, double *out,
               lsoda_wrapper solver, double *evaluations) {
  enum { MOST = STATES * (1 + SENSITIVE) };
  const int equations = sensitivities ? MOST : STATES, read = sensitivities ? READ : 1;
  const right_hand_side rhs = sensitivities ? states_and_sensitivities : states;
  double at[all->visits + 2], found[(all->visits + 2) * MOST];
  long failed = 0;
  calls = 0;
  for (long k = 0; k < all->patients; k++) {
    const double *day = all->day + k * all->visits, last = day[all->visits_of[k] - 1];
    double y[MOST] = {0.0, 1.0, all->table[k * COLUMNS + EXHAUSTED_RATIO]};
    int ok = 1;
    for (long i = 0, visit = 1; i < all->edges_of[k] && ok; i++) {
      struct piece now = piece_of(all, k, i);
      const double next = fmin(all->edge[k * all->edges + i + 1], last);
      const long first = visit;
      int n = 1;
      at[0] = now.edge;
      for (; visit < all->visits_of[k] && day[visit] <= next; visit++) at[n++] = day[visit];
      if (at[n - 1] < next) at[n++] = next;
      solver(rhs, equations, y, &now, n, at, found, rtol, rtol, MOST_STEPS, &ok);
      for (long v = first; v < visit; v++)
        for (int r = 0; r < read; r++)
          out[(k * all->visits + v) * READ + r] = found[(1 + v - first) * equations + STATES * r];
      memcpy(y, found + (n - 1) * equations, sizeof(double) * equations);
    }
    failed += !ok;
  }
  *evaluations = (double)calls / all->patients;
  return failed;
}
