"""A report as people read it on a terminal."""

from threadwise.quant.report import QuantReport, TensorReport

__all__ = ["size", "text"]


def text(report: QuantReport, rows: int | None = None) -> str:
    """Return the table of `report` and what it comes to; `rows` limits how many it names."""
    shown = report.tensors
    left_out = ""
    if rows is not None and len(shown) > rows:
        worst = sorted(shown, key=lambda tensor: tensor.cosine)[:rows]
        shown = tuple(tensor for tensor in shown if tensor in worst)
        left_out = f"(the {rows} of {len(report.tensors)} tensors with the least cosines)"
    width = max((len(_name(tensor)) for tensor in shown), default=0)
    head = (
        f"{'tensor':<{width}}{'shape':>15}{'bits':>6}{'bits/weight':>13}{'cosine':>10}"
        f"{'SQNR':>9}{'error':>9}{'largest':>10}{'size':>10}{'time':>9}"
    )
    lines = [head, *(_row(tensor, width) for tensor in shown), left_out] if shown else []
    return "\n".join([line for line in lines if line] + [""] * bool(lines) + _totals(report))


def size(count: float) -> str:
    """Return a number of bytes with three digits and a unit.

    Examples
    --------
    >>> [size(count) for count in (999, 12_345, 1_999_999, 14_200_000_000)]
    ['999 B', '12.3 KB', '2.00 MB', '14.2 GB']
    """
    for unit in ("B", "KB", "MB", "GB"):
        digits = 0 if unit == "B" or count >= 99.95 else 1 if count >= 9.995 else 2
        if float(f"{count:.{digits}f}") < 1000:
            break
        if unit != "GB":
            count /= 1000
    return f"{count:.{digits}f} {unit}"


def _name(tensor: TensorReport) -> str:
    return tensor.name.removesuffix(".weight")


def _row(tensor: TensorReport, width: int) -> str:
    shape = " x ".join(map(str, tensor.shape))
    bits = f"{tensor.asked_bits} > {tensor.bits}" if tensor.fell_back else f"{tensor.bits}"
    seconds = f"{tensor.seconds * 1e3:.1f} ms" if tensor.seconds < 1 else f"{tensor.seconds:.1f} s"
    return (
        f"{_name(tensor):<{width}}{shape:>15}{bits:>6}{tensor.bits_per_weight:>13.3f}"
        f"{tensor.cosine:>10.6f}{tensor.sqnr_db:>6.1f} dB{tensor.relative_error:>9.2%}"
        f"{tensor.max_error:>10.2e}{size(tensor.bytes_after):>10}{seconds:>9}"
    )


def _totals(report: QuantReport) -> list[str]:
    count = len(report.tensors)
    before = sum(tensor.bytes_before for tensor in report.tensors)
    after = sum(tensor.bytes_after for tensor in report.tensors)
    most, now = max(report.bytes_before, 1), report.bytes_after
    lines = [
        f"quantized  {count} tensors: {size(before)} before, {size(after)} now",
        f"           {report.weights:,} weights, {report.bits_per_weight:.3f} bits each in all",
        f"kept       {report.kept_tensors} tensors as they are: {size(report.kept_bytes)}",
        f"in all     {size(report.bytes_before)} before, {size(now)} now ({now / most:.1%})",
    ]
    least = report.least_cosine
    if least is not None:
        lines.append(
            f"cosine     {report.mean_cosine:.6f} in the mean over weights, "
            f"at least {least.cosine:.6f} ({_name(least)})"
        )
    wider = sum(tensor.fell_back for tensor in report.tensors)
    if wider:
        wish = report.config.min_cosine
        lines.append(
            f"wider      {wider} of {count} tensors have more bits than asked for, "
            f"because their cosine was below {wish:g}"
        )
    lines.append(f"format     {report.format}, in {report.destination}")
    rate = report.weights / report.seconds / 1e6 if report.seconds else 0.0
    lines.append(
        f"time       {report.seconds:.2f} s, {rate:,.0f} million weights a second; "
        f"threads: {report.threads}, each {report.compute_seconds:.2f} s without files"
    )
    measured, predicted = report.measured_peak_bytes, report.predicted_peak_bytes
    peaks = [f"{size(measured)} at most"] if measured is not None else []
    peaks += [f"{size(predicted)} predicted"] if predicted is not None else []
    if peaks:
        lines.append(f"memory     {', '.join(peaks)}")
    return lines
