/* CVODES of SUNDIALS with forward sensitivities, analytic Jacobian, restarted at every edge. */
#include <cvodes/cvodes.h>
#include <nvector/nvector_serial.h>
#include <sundials/sundials_types.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunmatrix/sunmatrix_dense.h>

#include "rates.h"

static long calls;

static int states(sunrealtype day, N_Vector y, N_Vector dy, void *now) {
  const struct piece *piece = now;
  const struct terms t = terms_of(day, N_VGetArrayPointer(y), piece);
  rate_of(&t, N_VGetArrayPointer(y), N_VGetArrayPointer(dy), piece->p);
  calls++;
  return 0;
}

static int jacobian(sunrealtype day, N_Vector y, N_Vector dy, SUNMatrix j, void *now, N_Vector a,
                    N_Vector b, N_Vector c) {
  (void)dy, (void)a, (void)b, (void)c;
  const struct piece *piece = now;
  const struct terms t = terms_of(day, N_VGetArrayPointer(y), piece);
  jacobian_of(&t, SUNDenseMatrix_Data(j), piece->p);
  return 0;
}

static int sensitivities(int count, sunrealtype day, N_Vector y, N_Vector dy, N_Vector *s,
                         N_Vector *ds, void *now, N_Vector a, N_Vector b) {
  (void)dy, (void)a, (void)b;
  const struct piece *piece = now;
  const struct terms t = terms_of(day, N_VGetArrayPointer(y), piece);
  for (int k = 0; k < count; k++)
    sensitivity_of(&t, N_VGetArrayPointer(y), N_VGetArrayPointer(s[k]), N_VGetArrayPointer(ds[k]),
                   piece->p, k);
  calls++;
  return 0;
}

struct solver { /* one for all patients */
  SUNContext context;
  void *memory;
  N_Vector y, *s;
  SUNMatrix matrix;
  SUNLinearSolver linear;
  int multistep, order, with, checked;
  struct piece now; /* at one address: CVODES keeps it from the first call */
};

/* Set up on the first call, restart on every later one. */
static int restart(struct solver *one, double day, double rtol) {
  int flag = 0;
  if (one->memory) {
    flag |= CVodeReInit(one->memory, day, one->y);
    if (one->with) flag |= CVodeSensReInit(one->memory, one->order, one->s);
  } else {
    one->memory = CVodeCreate(one->multistep, one->context);
    flag |= CVodeSetUserData(one->memory, &one->now);
    flag |= CVodeInit(one->memory, states, day, one->y);
    flag |= CVodeSStolerances(one->memory, rtol, rtol);
    flag |= CVodeSetMaxNumSteps(one->memory, 100000);
    flag |= CVodeSetLinearSolver(one->memory, one->linear, one->matrix);
    flag |= CVodeSetJacFn(one->memory, jacobian);
    if (one->with) {
      double each[SENSITIVE] = {rtol, rtol, rtol};
      flag |= CVodeSensInit(one->memory, SENSITIVE, one->order, sensitivities, one->s);
      flag |= CVodeSensSStolerances(one->memory, rtol, each);
      flag |= CVodeSetSensErrCon(one->memory, one->checked);
    }
  }
  return flag;
}

/* One patient; log burden and its sensitivities go to out, (visits, READ). */
static int patient(struct solver *one, const struct patients *all, long k, double rtol, double *out) {
  const double *day = all->day + k * all->visits, last = day[all->visits_of[k] - 1];
  double *y = N_VGetArrayPointer(one->y);
  y[0] = 0.0, y[1] = 1.0, y[2] = all->table[k * COLUMNS + EXHAUSTED_RATIO];
  for (int r = 0; one->with && r < SENSITIVE; r++) N_VConst(0.0, one->s[r]);
  long visit = 1;
  for (long i = 0; i < all->edges_of[k]; i++) {
    one->now = piece_of(all, k, i);
    const double next = fmin(all->edge[k * all->edges + i + 1], last);
    double reached = one->now.edge;
    if (reached >= next) break; /* one scan only */
    if (restart(one, reached, rtol)) return 1;
    if (CVodeSetStopTime(one->memory, next)) return 1;
    while (reached < next) {
      const int scan = visit < all->visits_of[k] && day[visit] <= next;
      const double target = scan ? day[visit] : next;
      if (CVode(one->memory, target, one->y, &reached, CV_NORMAL) < 0) return 1;
      if (one->with && CVodeGetSens(one->memory, &reached, one->s)) return 1;
      if (!scan) continue;
      out[visit * READ] = y[0];
      for (int r = 0; one->with && r < SENSITIVE; r++)
        out[visit * READ + 1 + r] = N_VGetArrayPointer(one->s[r])[0];
      visit++;
    }
  }
  return 0;
}

/* Fill out, (patients, visits, READ); gives the number of patients that failed. */
long cvodes_all(const struct patients *all, double rtol, int with, int bdf, int staggered,
                int checked, double *out, double *evaluations) {
  struct solver one = {.multistep = bdf ? CV_BDF : CV_ADAMS,
                       .order = staggered ? CV_STAGGERED : CV_SIMULTANEOUS,
                       .with = with, .checked = checked};
#if SUNDIALS_VERSION_MAJOR >= 7
  if (SUNContext_Create(SUN_COMM_NULL, &one.context)) return all->patients;
#else
  if (SUNContext_Create(NULL, &one.context)) return all->patients;
#endif
  one.y = N_VNew_Serial(STATES, one.context);
  one.s = N_VCloneVectorArray(SENSITIVE, one.y);
  one.matrix = SUNDenseMatrix(STATES, STATES, one.context);
  one.linear = SUNLinSol_Dense(one.y, one.matrix, one.context);
  long failed = 0;
  calls = 0;
  for (long k = 0; k < all->patients; k++)
    failed += patient(&one, all, k, rtol, out + k * all->visits * READ);
  *evaluations = (double)calls / all->patients;
  CVodeFree(&one.memory);
  SUNLinSolFree(one.linear);
  SUNMatDestroy(one.matrix);
  N_VDestroyVectorArray(one.s, SENSITIVE);
  N_VDestroy(one.y);
  SUNContext_Free(&one.context);
  return failed;
}
