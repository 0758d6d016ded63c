// Stein-Fojo curves of a population with Student t scatter of log sizes, four degrees of freedom.
// Log size is that of the first scan plus F(day) - F(day of the first scan), where F is a growing
// exponential before day 0 and the log of a shrinking and a growing one, less 1, from then on.
data {
  int<lower=1> N;
  int<lower=1> P;
  array[N] int<lower=1, upper=P> who;
  vector[N] day;
  vector[P] first_day;
  vector[N] log_size;
  array[N] int<lower=0, upper=1> censored;
  vector[3] centre;          // of baseline, shrink, grow, log scale
  vector[3] centre_sd;
  vector[3] between;
  vector[3] between_spread;
  real scatter_centre;
  real scatter_sd;
  real reader;
  real smallest;
}
parameters {
  vector[3] typical_z;
  vector[3] sd_z;
  real scatter_z;
  matrix[3, P] own_z;
}
transformed parameters {
  vector[3] typical = exp(centre + centre_sd .* typical_z);
  vector[3] sd_between = between .* exp(between_spread .* sd_z);
  real scatter = exp(scatter_centre + scatter_sd * scatter_z);
}
model {
  typical_z ~ std_normal();
  sd_z ~ std_normal();
  scatter_z ~ std_normal();
  to_vector(own_z) ~ std_normal();
  for (n in 1:N) {
    int k = who[n];
    real shrink = typical[2] * exp(sd_between[2] * own_z[2, k]);
    real grow = typical[3] * exp(sd_between[3] * own_z[3, k]);
    real at = day[n] < 0 ? grow * day[n] : log(exp(-shrink * day[n]) + expm1(grow * day[n]));
    real from = first_day[k] < 0 ? grow * first_day[k]
                : log(exp(-shrink * first_day[k]) + expm1(grow * first_day[k]));
    real mu = log(typical[1]) + sd_between[1] * own_z[1, k] + at - from;
    real spread = sqrt(square(scatter) + square(reader / exp(fmax(mu, log(smallest)))));
    if (censored[n]) {
      target += student_t_lcdf(log_size[n] | 4, mu, spread);
    } else {
      target += student_t_lpdf(log_size[n] | 4, mu, spread);
    }
  }
}
