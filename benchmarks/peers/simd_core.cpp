// The exponential midpoint step of the core model with forward sensitivities, eight patients side
// by side on grids laid out in advance: the effectors and exhausted cells by their exact 2 x 2
// exponential at the middle of a step, the burden by their exact integral.
#include "lanes.h"
#include "rates.h"

namespace {

const double FLOOR = 1e-10; // 1/day^2: below it the two rates of the pair are one

template <int N> struct Course { // N sensitivities: none or all
  v8 growth3, kill, pull, waning, pace_at_most, exhausted_loss, returned, loss, inflow, block, half;
  v8 reversible, log_burden, e, x;
  v8 s[N + 1][STATES];

  explicit Course(const double *const *tables) {
    for (int l = 0; l < LANES; l++) {
      const double *p = tables[l];
      growth3[l] = 3.0 * p[GROWTH], kill[l] = p[KILL], pull[l] = 3.0 * p[GROWTH] * p[KILL];
      waning[l] = p[WANING], block[l] = p[BLOCK], half[l] = p[ANTIGEN_HALF], loss[l] = p[LOSS];
      pace_at_most[l] = p[EXHAUSTION] * (1.0 + p[ANTIGEN_HALF]);
      exhausted_loss[l] = p[EXHAUSTION] / p[EXHAUSTED_RATIO];
      inflow[l] = p[LOSS] + p[EXHAUSTION], returned[l] = p[REINVIGORATION];
      reversible[l] = 1.0 - p[FIXED_FRACTION];
      x[l] = p[EXHAUSTED_RATIO];
    }
    log_burden = all(0.0), e = all(1.0);
    for (auto &one : s)
      for (v8 &value : one) value = all(0.0);
  }

  inline __attribute__((always_inline)) void step(v8 h, v8 treated, v8 occupied) {
    const v8 middle = log_burden + 0.5 * h * (growth3 - pull * e);
    const v8 held = smaller(larger(middle, all(-LOG_BURDEN_LIMIT)), all(LOG_BURDEN_LIMIT));
    const v8 burden = exponential(held), part = 1.0 / (burden + half);
    const v8 pace = pace_at_most * (burden * part);
    const v8 act = occupied * reversible * exponential(-waning * treated);
    const v8 spared = 1.0 - block * act;
    const v8 c = pace * spared, r = returned * act, a = loss + c, d = exhausted_loss + r;
    const v8 over = 1.0 / (loss * d + c * exhausted_loss); // one over the determinant
    const v8 rest1 = d * inflow * over, rest2 = c * inflow * over;
    const v8 w1 = e - rest1, w2 = x - rest2;
    const v8 q = 0.5 * (d - a), mean = -0.5 * (a + d);
    const v8 square = larger(q * q + r * c, all(FLOOR)), radius = root(square);
    const v8 slow = exponential(h * (mean + radius)), ratio = exponential(-2.0 * h * radius);
    const v8 over_radius = 1.0 / radius;
    const v8 even = 0.5 * slow * (1.0 + ratio), odd = 0.5 * slow * (1.0 - ratio) * over_radius;
    const v8 turned1 = q * w1 + r * w2, turned2 = c * w1 - q * w2;
    const v8 e1 = rest1 + even * w1 + odd * turned1, x1 = rest2 + even * w2 + odd * turned2;
    const v8 gain1 = e1 - e - inflow * h, gain2 = x1 - x;
    const v8 area1 = -(d * gain1 + r * gain2) * over, area2 = -(c * gain1 + a * gain2) * over;
    if constexpr (N > 0) {
      const v8 to_square = (h * even - odd) * 0.5 * over_radius * over_radius;
      const v8 inside = (v8)((i8)all(1.0) & (held == middle));
      const v8 by_burden = c * half * part * inside;
      const v8 act_w = -treated * act;
      const v8 own[SENSITIVE] = {3.0 * (1.0 - kill * e), -growth3 * e, all(0.0)};
      const v8 flow[SENSITIVE] = {3.0 * (h - kill * area1), -growth3 * area1, all(0.0)};
      for (int n = 0; n < N; n++) {
        v8 *u = s[n];
        v8 dc = by_burden * (u[0] + 0.5 * h * (own[n] - pull * u[1])), dr = all(0.0);
        if (n == 2) dc -= pace * block * act_w, dr = returned * act_w;
        const v8 dmean = -0.5 * h * (dc + dr), dq = 0.5 * (dr - dc);
        const v8 dsquare = 2.0 * q * dq + r * dc + c * dr;
        const v8 deven = dmean * even + dsquare * (0.5 * h) * odd;
        const v8 dodd = dmean * odd + dsquare * to_square;
        const v8 shift = (dc * rest1 - dr * rest2) * over;
        const v8 drest1 = -exhausted_loss * shift, drest2 = loss * shift;
        const v8 v1 = u[1] - drest1, v2 = u[2] - drest2;
        const v8 de = drest1 + deven * w1 + dodd * turned1 + even * v1 +
                      odd * (dq * w1 + dr * w2 + q * v1 + r * v2);
        const v8 dx = drest2 + deven * w2 + dodd * turned2 + even * v2 +
                      odd * (dc * w1 - dq * w2 + c * v1 - q * v2);
        const v8 swap = dc * area1 - dr * area2;
        const v8 darea = -(d * (de - u[1] + swap) + r * (dx - u[2] - swap)) * over;
        u[0] += flow[n] - pull * darea, u[1] = de, u[2] = dx;
      }
    }
    log_burden += growth3 * h - pull * area1;
    e = e1, x = x1;
  }
};

// Patients of one group go through `steps` steps of 3 x LANES numbers: length, day of the middle
// (0 before day 0), mean occupancy. `kept` has room for every step, (steps + 1) x READ x LANES.
template <int N> void group(const patients *of, const long *who, const double *grid, long steps,
                            const long *places, double *kept, double *out) {
  const double *tables[LANES];
  for (int l = 0; l < LANES; l++) tables[l] = of->table + (who[l] < 0 ? who[0] : who[l]) * COLUMNS;
  Course<N> course(tables);
  const v8 *from = reinterpret_cast<const v8 *>(grid);
  v8 *to = reinterpret_cast<v8 *>(kept);
  for (int r = 0; r <= N; r++) to[r] = all(0.0);
  for (long i = 0; i < steps; i++, from += 3) {
    course.step(from[0], from[1], from[2]);
    to += READ;
    to[0] = course.log_burden;
    for (int n = 0; n < N; n++) to[1 + n] = course.s[n][0];
  }
  for (int l = 0; l < LANES; l++)
    for (long v = 0; who[l] >= 0 && v < of->visits_of[who[l]]; v++)
      for (int r = 0; r <= N; r++)
        out[(who[l] * of->visits + v) * READ + r] =
            kept[(places[who[l] * of->visits + v] * READ + r) * LANES + l];
}

} // namespace

// `order`: patients by eights, -1 for none; `steps`: of each group; `grid`: all groups in turn;
// `places`: the step after which each scan is read, (patients, visits).
extern "C" long core_all(const patients *of, int sensitivities, long groups, const long *order,
                         const long *steps, const double *grid, const long *places, double *kept,
                         double *out) {
  for (long g = 0; g < groups; g++) {
    const long *who = order + g * LANES;
    if (sensitivities)
      group<SENSITIVE>(of, who, grid, steps[g], places, kept, out);
    else
      group<0>(of, who, grid, steps[g], places, kept, out);
    grid += steps[g] * 3 * LANES;
  }
  return 0;
}
