// The core model with Stan's Runge-Kutta 4(5), restarted at every edge, as a user would write it.
functions {
  vector rate(real day, vector y, real growth, real kill, real waning, data array[] real c,
              data real edge, data real level, data vector moving, data vector decay) {
    real free = c[7] * (level + dot_product(moving, exp(-decay * (day - edge))));
    real act = free / (free + c[8]) * (1 - c[6]) * exp(-waning * fmax(day, 0));
    real burden = exp(fmin(fmax(y[1], -60), 60));
    real antigen = burden * (1 + c[5]) / (burden + c[5]);
    real exhausting = c[1] * antigen * (1 - c[9] * act) * y[2];
    real back = c[3] * act * y[3];
    vector[3] change;
    change[1] = 3 * growth * (1 - kill * y[2]);
    change[2] = c[4] + c[1] - c[4] * y[2] - exhausting + back;
    change[3] = exhausting - c[1] / c[2] * y[3] - back;
    return change;
  }
}
data {
  int<lower=1> P, V, E;
  array[P] int visits, edges;
  array[P, V] real day;
  array[P, V] real weight;
  array[P, E] real edge, level;
  array[P, E] vector[2] moving;
  vector[2] decay;
  array[P, 9] real constants; // exhaustion to fixed_fraction without block, tissue, half, block
  vector[P] baseline;
  real tolerance;
}
parameters {
  vector[P] growth, kill, waning;
}
transformed parameters {
  array[P, V] real log_size = rep_array(0.0, P, V);
  for (p in 1 : P) {
    int v = 2;
    vector[3] y = [0, 1, constants[p, 2]]';
    log_size[p, 1] = log(baseline[p]);
    for (i in 1 : edges[p]) {
      real next = fmin(edge[p, i + 1], day[p, visits[p]]);
      if (next <= edge[p, i]) break; // one scan only
      int first = v;
      while (v <= visits[p] && day[p, v] <= next) v += 1;
      int stops = v - first;
      int last_is_scan = stops > 0 && day[p, v - 1] >= next;
      array[stops + 1 - last_is_scan] real ts;
      for (j in 1 : stops) ts[j] = day[p, first + j - 1];
      if (!last_is_scan) ts[stops + 1] = next;
      array[size(ts)] vector[3] found = ode_rk45_tol(
        rate, y, edge[p, i], ts, tolerance, tolerance, 100000, growth[p], kill[p], waning[p],
        constants[p], edge[p, i], level[p, i], moving[p, i], decay);
      for (j in 1 : stops) log_size[p, first + j - 1] = log(baseline[p]) + found[j, 1] / 3;
      y = found[size(ts)];
    }
  }
}
model {
  for (p in 1 : P) target += dot_product(to_vector(weight[p]), to_vector(log_size[p]));
}
