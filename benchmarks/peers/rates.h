/* The right-hand side, its Jacobian and its sensitivities for one patient, in plain C. */
#ifndef PEERS_RATES_H
#define PEERS_RATES_H
#include <math.h>

enum { /* columns of the table of parameters, as NAMES in problem.py */
  GROWTH, KILL, WANING, EXHAUSTION, EXHAUSTED_RATIO, REINVIGORATION, LOSS, BLOCK,
  ANTIGEN_HALF, FIXED_FRACTION, TISSUE_RATIO, HALF_OCCUPANCY, BASELINE, COLUMNS
};
enum { STATES = 3, SENSITIVE = 3, READ = 1 + SENSITIVE };
static const double LOG_BURDEN_LIMIT = 60.0;

struct patients { /* as _Patients in native.py */
  long patients, visits, edges;
  const double *start, *day;  /* (patients), (patients, visits) */
  const long *visits_of;      /* (patients) */
  const double *table;        /* (patients, COLUMNS) */
  const double *edge;         /* (patients, edges), the last beyond every scan */
  const long *edges_of;       /* (patients) */
  const double *level;        /* (patients, edges) */
  const double *moving;       /* (patients, edges, 2) */
  double decay[2];
};

struct piece { /* one patient between two edges */
  const double *p;
  double edge, level, moving[2], decay[2];
};

static inline struct piece piece_of(const struct patients *all, long patient, long i) {
  const long at = patient * all->edges + i;
  struct piece one = {
      all->table + patient * COLUMNS, all->edge[at], all->level[at],
      {all->moving[2 * at], all->moving[2 * at + 1]}, {all->decay[0], all->decay[1]}};
  return one;
}

struct terms { /* what the states, the Jacobian and the sensitivities share */
  double exhausting, returning, exhausted_loss, to_burden, to_waning;
};

static inline struct terms terms_of(double day, const double *y, const struct piece *now) {
  const double *p = now->p, since = day - now->edge;
  const double c = now->level + now->moving[0] * exp(-now->decay[0] * since) +
                   now->moving[1] * exp(-now->decay[1] * since);
  const double free = p[TISSUE_RATIO] * c, treated = day > 0.0 ? day : 0.0;
  const double act = free / (free + p[HALF_OCCUPANCY]) * (1.0 - p[FIXED_FRACTION]) *
                     exp(-p[WANING] * treated);
  const double inside = fabs(y[0]) < LOG_BURDEN_LIMIT;
  const double burden = exp(fmin(fmax(y[0], -LOG_BURDEN_LIMIT), LOG_BURDEN_LIMIT));
  const double part = 1.0 / (burden + p[ANTIGEN_HALF]);
  const double pace = p[EXHAUSTION] * burden * (1.0 + p[ANTIGEN_HALF]) * part;
  struct terms t;
  t.exhausting = pace * (1.0 - p[BLOCK] * act);
  t.returning = p[REINVIGORATION] * act;
  t.exhausted_loss = p[EXHAUSTION] / p[EXHAUSTED_RATIO];
  t.to_burden = t.exhausting * y[1] * p[ANTIGEN_HALF] * part * inside;
  t.to_waning = treated * act * (pace * p[BLOCK] * y[1] + p[REINVIGORATION] * y[2]);
  return t;
}

static inline void rate_of(const struct terms *t, const double *y, double *dy, const double *p) {
  const double swap = t->exhausting * y[1] - t->returning * y[2];
  dy[0] = 3.0 * p[GROWTH] * (1.0 - p[KILL] * y[1]);
  dy[1] = p[LOSS] + p[EXHAUSTION] - p[LOSS] * y[1] - swap;
  dy[2] = swap - t->exhausted_loss * y[2];
}

/* Change of the sensitivities s of the states y to growth (0), kill (1) or waning (2). */
static inline void sensitivity_of(
    const struct terms *t, const double *y, const double *s, double *ds, const double *p, int which) {
  const double own[SENSITIVE] = {3.0 * (1.0 - p[KILL] * y[1]), -3.0 * p[GROWTH] * y[1], 0.0};
  const double swap = t->to_burden * s[0] + t->exhausting * s[1] - t->returning * s[2] +
                      (which == 2 ? t->to_waning : 0.0);
  ds[0] = own[which] - 3.0 * p[GROWTH] * p[KILL] * s[1];
  ds[1] = -p[LOSS] * s[1] - swap;
  ds[2] = swap - t->exhausted_loss * s[2];
}

/* The Jacobian by columns. */
static inline void jacobian_of(const struct terms *t, double *j, const double *p) {
  j[0] = 0.0, j[1] = -t->to_burden, j[2] = t->to_burden;
  j[3] = -3.0 * p[GROWTH] * p[KILL], j[4] = -p[LOSS] - t->exhausting, j[5] = t->exhausting;
  j[6] = 0.0, j[7] = t->returning, j[8] = -t->returning - t->exhausted_loss;
}
#endif
