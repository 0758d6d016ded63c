// Tsit5 (Tsitouras 2011, doi:10.1016/j.camwa.2011.06.002) with forward sensitivities, eight
// patients side by side. Every lane has its own step and its own place in its regimen, and takes
// the next patient when it is done.
#include <cmath>

#include "lanes.h"
#include "rates.h"

namespace {

enum { STAGES = 7, MOST_ROUNDS = 10000000 };
const double NODE[STAGES] = {0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0};
const double STAGE[STAGES][STAGES - 1] = {
    {},
    {0.161},
    {-0.008480655492356989, 0.335480655492357},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401,
     -0.028269050394068383},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081,
     2.324710524099774}};
const double ERROR[STAGES] = {0.0017800110522257714, 0.0008164344596567469, -0.007880878010261995,
                              0.14471100717326298,   -0.5823571654525552,   0.45808210592918697,
                              -0.015151515151515152};
const double FIRST_STEP = 2.0, LONGEST_STEP = 60.0, NEVER = 1e300; // days

// Weight of each stage in the state at a part of the step, of fourth order.
INLINE void weights_at(v8 x, v8 *b) {
  const v8 x2 = x * x;
  b[0] = -1.0530884977290216 * x * (x - 1.3299890189751412) *
         (x2 - 1.4364028541716351 * x + 0.7139816917074209);
  b[1] = 0.1017 * x2 * (x2 - 2.1966568338249754 * x + 1.2949852507374631);
  b[2] = 2.490627285651252793 * x2 * (x2 - 2.38535645472061657 * x + 1.57803468208092486);
  b[3] = -16.54810288924490272 * (x - 1.21712927295533244) * (x - 0.61620406037800089) * x2;
  b[4] = 47.37952196281928122 * (x - 1.203071208372362603) * (x - 0.658047292653547382) * x2;
  b[5] = -34.87065786149660974 * (x - 1.2) * (x - 0.666666666666666667) * x2;
  b[6] = 2.5 * (x - 1.0) * (x - 0.6) * x2;
}

struct Lane {
  long patient, piece, visit;
};

template <int N> struct Solver { // N sensitivities: none or all
  static constexpr int SIZE = STATES * (1 + N);
  v8 growth3, pull, waning, pace_at_most, exhausted_loss, returned, loss, inflow, block, half;
  v8 half_occupancy, level, moving0, moving1, edge, next, last, reversible, fades;
  v8 t, scan, wish, y[SIZE], z[SIZE], k[STAGES][SIZE];
  v8 pace, part, act, treated, fading; // of the latest evaluation
  v8 kill;
  double tissue_ratio[LANES];
  Lane lane[LANES];
  const patients *of;
  const long *queue;
  long waiting, active;
  double *out;

  // Blockade some days after the edge.
  inline __attribute__((always_inline)) void force(v8 since) {
    const v8 c = level + moving0 * exponential(-of->decay[0] * since) +
                 moving1 * exponential(-of->decay[1] * since);
    fading = reversible * exponential(-(waning * fades) * since);
    act = c / (c + half_occupancy) * fading;
    treated = (edge + since) * fades;
  }

  // Change of the states and their sensitivities; as in rates.h.
  inline __attribute__((always_inline)) void rate(const v8 *s, v8 *d) {
    const v8 log_burden = smaller(larger(s[0], all(-LOG_BURDEN_LIMIT)), all(LOG_BURDEN_LIMIT));
    const v8 burden = exponential(log_burden);
    part = 1.0 / (burden + half);
    pace = pace_at_most * (burden * part);
    const v8 exhausting = pace * (1.0 - block * act), returning = returned * act;
    const v8 swap = exhausting * s[1] - returning * s[2];
    d[0] = growth3 - pull * s[1];
    d[1] = inflow - loss * s[1] - swap;
    d[2] = swap - exhausted_loss * s[2];
    if constexpr (N > 0) {
      const v8 inside = (v8)((i8)all(1.0) & (log_burden == s[0]));
      const v8 to_burden = exhausting * s[1] * (half * part) * inside;
      const v8 to_waning = treated * act * (pace * block * s[1] + returned * s[2]);
      const v8 own[SENSITIVE] = {3.0 * (1.0 - kill * s[1]), -growth3 * s[1], all(0.0)};
      for (int n = 0; n < N; n++) {
        const v8 *u = s + STATES * (1 + n);
        v8 *du = d + STATES * (1 + n);
        v8 moved = to_burden * u[0] + exhausting * u[1] - returning * u[2];
        if (n == 2) moved += to_waning;
        du[0] = own[n] - pull * u[1];
        du[1] = -loss * u[1] - moved;
        du[2] = moved - exhausted_loss * u[2];
      }
    }
  }

  // Correct the first stage of a piece for the blockade that has jumped, by `more`.
  inline __attribute__((always_inline)) void jump(v8 more) {
    const v8 exhausting = -pace * block * more, returning = returned * more;
    const v8 swap = exhausting * y[1] - returning * y[2];
    k[0][1] -= swap, k[0][2] += swap;
    if constexpr (N > 0) {
      const v8 to_burden = exhausting * y[1] * (half * part);
      const v8 to_waning = treated * more * (pace * block * y[1] + returned * y[2]);
      for (int n = 0; n < N; n++) {
        const v8 *u = y + STATES * (1 + n);
        v8 moved = to_burden * u[0] + exhausting * u[1] - returning * u[2];
        if (n == 2) moved += to_waning;
        k[0][STATES * (1 + n) + 1] -= moved, k[0][STATES * (1 + n) + 2] += moved;
      }
    }
  }

  void read(int l, const v8 *values) {
    Lane &mine = lane[l];
    double *to = out + (mine.patient * of->visits + mine.visit) * READ;
    for (int r = 0; r <= N; r++) to[r] = values[r][l];
    mine.visit++;
    const bool more = mine.visit < of->visits_of[mine.patient];
    scan[l] = more ? of->day[mine.patient * of->visits + mine.visit] : NEVER;
  }

  void take_piece(int l) {
    const Lane &mine = lane[l];
    const long at = mine.patient * of->edges + mine.piece;
    const double scale = tissue_ratio[l];
    edge[l] = of->edge[at];
    next[l] = std::fmin(of->edge[at + 1], last[l]);
    level[l] = scale * of->level[at];
    moving0[l] = scale * of->moving[2 * at];
    moving1[l] = scale * of->moving[2 * at + 1];
    fades[l] = edge[l] >= 0.0;
  }

  // Give a lane the next patient, at the steady state before any drug; or nothing to do.
  void take_patient(int l) {
    if (!waiting) {
      active--;
      t[l] = edge[l] = 0.0;
      next[l] = last[l] = 1e12, scan[l] = NEVER;
      level[l] = moving0[l] = moving1[l] = 0.0;
      return;
    }
    const long who = *queue++;
    const double *p = of->table + who * COLUMNS;
    waiting--;
    lane[l] = {who, 0, 0};
    growth3[l] = 3.0 * p[GROWTH], kill[l] = p[KILL], pull[l] = 3.0 * p[GROWTH] * p[KILL];
    waning[l] = p[WANING], block[l] = p[BLOCK], half[l] = p[ANTIGEN_HALF], loss[l] = p[LOSS];
    pace_at_most[l] = p[EXHAUSTION] * (1.0 + p[ANTIGEN_HALF]);
    exhausted_loss[l] = p[EXHAUSTION] / p[EXHAUSTED_RATIO];
    inflow[l] = p[LOSS] + p[EXHAUSTION], returned[l] = p[REINVIGORATION];
    tissue_ratio[l] = p[TISSUE_RATIO], half_occupancy[l] = p[HALF_OCCUPANCY];
    const double start = of->start[who], begun = std::fmax(start, 0.0);
    last[l] = of->day[who * of->visits + of->visits_of[who] - 1];
    reversible[l] = (1.0 - p[FIXED_FRACTION]) * (begun > 0.0 ? std::exp(-p[WANING] * begun) : 1.0);
    t[l] = start, wish[l] = FIRST_STEP;
    for (int j = 0; j < SIZE; j++) y[j][l] = k[0][j][l] = 0.0;
    y[1][l] = 1.0, y[2][l] = p[EXHAUSTED_RATIO];
    k[0][0][l] = 3.0 * p[GROWTH] * (1.0 - p[KILL]);
    if constexpr (N > 0) {
      k[0][STATES][l] = 3.0 * (1.0 - p[KILL]);
      k[0][2 * STATES][l] = -3.0 * p[GROWTH];
    }
    pace[l] = p[EXHAUSTION], part[l] = 1.0 / (1.0 + p[ANTIGEN_HALF]);
    act[l] = 0.0, treated[l] = begun;
    const v8 nothing[READ] = {};
    read(l, nothing);
    take_piece(l);
  }

  void begin_pieces(unsigned lanes) {
    const v8 was = act;
    i8 here = {};
    for (unsigned m = lanes; m; m &= m - 1) here[__builtin_ctz(m)] = -1;
    const v8 c = level + moving0 + moving1;
    const v8 more = c / (c + half_occupancy) * reversible - was;
    jump((v8)((i8)more & here));
  }

  void step(double scale) { // scale: one over the square of the tolerance
    const v8 left = next - t, since = t - edge;
    const v8 parts = larger(whole(left / wish + 0.49), all(1.0));
    const i8 reaches = parts <= 1.0;
    const v8 h = left / parts, to = reaches ? next : t + h;
#pragma GCC unroll 6
    for (int i = 1; i < STAGES; i++) {
      if (i < STAGES - 1) force(since + NODE[i] * h);
      for (int j = 0; j < SIZE; j++) {
        v8 sum = STAGE[i][0] * k[0][j];
#pragma GCC unroll 6
        for (int s = 1; s < i; s++) sum += STAGE[i][s] * k[s][j];
        z[j] = y[j] + h * sum;
      }
      rate(z, k[i]);
    }
    v8 error2 = all(1e-12);
    for (int j = 0; j < STATES; j++) {
      v8 sum = ERROR[0] * k[0][j];
      for (int s = 1; s < STAGES; s++) sum += ERROR[s] * k[s][j];
      error2 += h * h * sum * sum * scale;
    }
    const i8 taken = error2 <= 1.0;
    const v8 factor = smaller(larger(0.9 * tenth_root_inverse(error2), all(0.2)), all(4.0));
    wish = smaller(h * factor, all(LONGEST_STEP));
    for (unsigned m; (m = bits(taken & (scan <= to)));) {
      v8 b[STAGES], values[READ];
      weights_at((scan - t) / h, b);
      for (int r = 0; r <= N; r++) {
        v8 sum = b[0] * k[0][STATES * r];
        for (int s = 1; s < STAGES; s++) sum += b[s] * k[s][STATES * r];
        values[r] = y[STATES * r] + h * sum;
      }
      for (; m; m &= m - 1) read(__builtin_ctz(m), values);
    }
    for (int j = 0; j < SIZE; j++) {
      y[j] = taken ? z[j] : y[j];
      k[0][j] = taken ? k[STAGES - 1][j] : k[0][j];
    }
    t = taken ? to : t;
    const i8 crosses = taken & reaches;
    if (const unsigned crossing = bits(crosses)) {
      reversible = crosses ? fading : reversible;
      for (unsigned m = crossing; m; m &= m - 1) {
        const int l = __builtin_ctz(m);
        if (next[l] >= last[l]) {
          take_patient(l);
        } else {
          lane[l].piece++;
          take_piece(l);
        }
      }
      begin_pieces(crossing);
    }
  }

  // Gives lane steps tried, or -1 when there were far too many.
  double run(const patients *given, double rtol, const long *order, long count, double *to) {
    std::memset(static_cast<void *>(this), 0, sizeof *this);
    of = given, queue = order, waiting = count, out = to, active = LANES;
    half_occupancy = half = all(1.0), wish = all(FIRST_STEP);
    for (int l = 0; l < LANES; l++) take_patient(l);
    begin_pieces((1u << LANES) - 1);
    double tried = 0.0;
    for (long n = 0; active > 0; n++, tried += active) {
      if (n > MOST_ROUNDS) return -1.0;
      step(1.0 / (rtol * rtol));
    }
    return tried;
  }
};

} // namespace

extern "C" double tsit5_all(const patients *given, double rtol, int sensitivities,
                            const long *order, long count, double *out) {
  if (sensitivities) {
    Solver<SENSITIVE> solver;
    return solver.run(given, rtol, order, count, out);
  }
  Solver<0> solver;
  return solver.run(given, rtol, order, count, out);
}
