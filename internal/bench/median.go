package bench

import "slices"

// Median is the middle of values, 0 where there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// medianRatio is the median of a[i]/b[i]: both were measured right after each
// other, so that what the machine did meanwhile was the same for both.
func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, 0, len(a))
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	return Median(ratios)
}
