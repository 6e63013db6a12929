/// The style sheet and the script of the report page.
enum ReportStyle {
    /// Both colour schemes; no external font or picture.
    static let css = """
        :root{--page:#f5f6f8;--card:#fff;--ink:#18212c;--soft:#5f6b7a;--faint:#8e99a7;--line:#e4e8ed;--good:#17785f;
        --bad:#b4453a;--c0:#2f6fd6;--c1:#d3740f;--c2:#178a6f;--c3:#8a5fd0;--c4:#bf4672;--c5:#657d22;--c6:#0f8bad;
        --c7:#96693c;--c8:#8e99a7;--shadow:0 1px 2px #18212c0d,0 4px 16px #18212c0a}
        @media (prefers-color-scheme:dark){:root{--page:#0f141a;--card:#171e26;--ink:#e5e9ee;--soft:#9ba7b5;
        --faint:#6d7987;--line:#28323d;--good:#5cc9a7;--bad:#ef8d80;--c0:#6ea2f5;--c1:#f0a04b;--c2:#4cc4a0;--c3:#b798f0;
        --c4:#ee86ac;--c5:#abc455;--c6:#56c2e0;--c7:#cda374;--c8:#7c8896;--shadow:none}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--page);color:var(--ink);
        font:15px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
        font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
        main{max-width:1120px;margin:0 auto;padding:44px 24px 32px}
        h1,h2,h3,p,dl,dd,figure,figcaption{margin:0;font-weight:inherit}
        .over{color:var(--faint);font-size:13px;letter-spacing:.02em}
        h1{font-size:34px;line-height:1.2;font-weight:650;letter-spacing:-.015em;display:flex;flex-wrap:wrap;
        align-items:center;gap:6px 14px;overflow-wrap:anywhere}
        h1 em{font:500 13px/1 ui-sans-serif,system-ui,sans-serif;letter-spacing:0;color:var(--good);padding:6px 10px;
        border-radius:99px;background:color-mix(in srgb,var(--good) 12%,transparent)}
        h2{font-size:20px;font-weight:620;letter-spacing:-.01em;margin:44px 0 14px}
        h3{font-size:15px;font-weight:600}
        .figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));margin-top:24px;
        border-radius:14px;overflow:hidden;background:var(--card);box-shadow:var(--shadow)}
        .figures div{padding:18px 20px 16px;display:flex;flex-direction:column;border:solid var(--line);
        border-width:0 1px 1px 0;margin:0 -1px -1px 0}
        .figures b{font-size:30px;line-height:1.15;font-weight:620;letter-spacing:-.02em}
        .figures span{font-weight:550;margin-top:4px}
        .figures small{color:var(--soft);font-size:12.5px}
        dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:14px 28px;margin-top:26px}
        dt{color:var(--soft);font-size:12.5px}
        dd{overflow-wrap:anywhere}
        .charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
        .chart,.card{background:var(--card);border-radius:14px;padding:18px 20px 14px;box-shadow:var(--shadow)}
        .card{margin-top:16px}
        .chart>figcaption,.card>figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:4px 18px;
        margin-bottom:16px}
        .charts figcaption{flex-direction:column}
        .legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12.5px;color:var(--soft)}
        .legend span{display:inline-flex;align-items:center;gap:6px}
        .legend i{width:16px;border-top:2.5px solid var(--c);border-radius:2px}
        .legend i.faint{border-top-width:1.5px;opacity:.45}
        .legend i.dashed{border-top:2px dashed var(--c);border-radius:0;width:18px}
        .legend i.dotted{width:8px;height:8px;border:0;border-radius:50%;background:var(--c)}
        .legend i.break{width:0;height:13px;border:0;border-left:2px dotted var(--faint);border-radius:0}
        .legend i.box{width:10px;height:10px;border:0;border-radius:3px;background:var(--c)}
        .frame{display:grid;grid-template-columns:44px minmax(0,1fr);grid-template-rows:208px 22px auto}
        section>.chart .frame{grid-template-rows:240px 22px auto}
        .ylabels,.xlabels{position:relative;color:var(--soft);font-size:12px;line-height:1}
        .ylabels span{position:absolute;right:9px;transform:translateY(50%)}
        .xlabels{grid-column:2}
        .xlabels span{position:absolute;top:8px;transform:translateX(-50%)}
        .xname{grid-column:2;text-align:center;color:var(--faint);font-size:12px;line-height:1.2;padding-top:2px}
        .plot{position:relative;cursor:crosshair;touch-action:pan-y}
        .plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
        .plot path{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round;
        vector-effect:non-scaling-stroke}
        .plot path.grid{stroke:var(--line);stroke-width:1}
        .plot path.break{stroke:var(--faint);stroke-width:1.5;stroke-dasharray:1 5}
        .plot path.faint{stroke-width:1;opacity:.38}
        .plot path.dashed{stroke-width:1.5;stroke-dasharray:5 5}
        .plot path.dots{stroke-width:7}
        .rule{position:absolute;top:0;bottom:0;width:1px;background:var(--faint);pointer-events:none}
        .tip{position:absolute;top:6px;z-index:1;pointer-events:none;white-space:nowrap;padding:8px 11px;border-radius:9px;
        font-size:12.5px;line-height:1.5;background:var(--card);border:1px solid var(--line);
        box-shadow:0 4px 18px #0003}
        .tip b{display:block;color:var(--soft);font-weight:500}
        .tip span{display:flex;align-items:center;gap:7px}
        .tip span::before{content:"";width:8px;height:8px;border-radius:50%;background:var(--c)}
        .tip em{font-style:normal;font-weight:600;margin-left:auto;padding-left:14px}
        .c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}
        .c6{--c:var(--c6)}.c7{--c:var(--c7)}.c8{--c:var(--c8)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;width:100%;font-size:14px}
        th{font-weight:500;color:var(--soft);font-size:12.5px;text-align:right;padding:4px 0 8px 18px;white-space:nowrap}
        td{text-align:right;padding:9px 0 9px 18px;border-top:1px solid var(--line);white-space:nowrap}
        th:first-child,td:first-child{text-align:left;padding-left:0}
        section>.scroll{background:var(--card);border-radius:14px;padding:14px 20px 8px;box-shadow:var(--shadow)}
        .phases th:nth-child(2),.phases td:nth-child(2){text-align:left;width:44%;min-width:150px}
        .bar div{display:flex;height:14px;border-radius:5px;overflow:hidden;gap:1px}
        .bar i{background:var(--c);min-width:1px}
        .note{color:var(--soft);font-size:12.5px;margin-top:10px}
        code,pre{font:13px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
        mark{font-size:12px;color:var(--good);background:color-mix(in srgb,var(--good) 12%,transparent);padding:2px 8px;
        border-radius:99px;margin-left:10px}
        .toggles{display:flex;flex-wrap:wrap;gap:8px 18px;margin-bottom:14px}
        .toggles label{display:inline-flex;align-items:center;gap:8px;cursor:pointer;font-size:14px;color:var(--soft)}
        .toggles input{width:16px;height:16px;margin:0;accent-color:var(--tint)}
        .truth{--tint:#2fbf77}.prediction{--tint:#f59e0b}
        .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:16px}
        .picture{background:var(--card);border-radius:14px;overflow:hidden;box-shadow:var(--shadow);cursor:zoom-in}
        .picture>div{position:relative;background:#000;line-height:0}
        .picture img{width:100%;height:auto;display:block}
        .picture svg{position:absolute;inset:0;width:100%;height:100%}
        .picture path{fill:none;stroke-width:1.8;stroke-linejoin:round;vector-effect:non-scaling-stroke}
        .picture path.truth{stroke:#4ade95}
        .picture path.prediction{stroke:#ffb224}
        body:has(#show-truth:not(:checked)) path.truth,
        body:has(#show-prediction:not(:checked)) path.prediction{display:none}
        .picture figcaption{display:flex;justify-content:space-between;gap:12px;padding:10px 14px 11px;font-size:13px}
        .picture figcaption span{color:var(--soft);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
        .picture figcaption b{font-weight:550;white-space:nowrap}
        .good{color:var(--good)}.bad{color:var(--bad)}
        :focus-visible{outline:2px solid var(--c0);outline-offset:2px}
        dialog{border:0;padding:0;background:none;max-width:none;max-height:none}
        dialog::backdrop{background:#000b}
        dialog .picture{width:min(92vw,calc(92vh - 44px));cursor:zoom-out}
        details{background:var(--card);border-radius:14px;padding:14px 20px;box-shadow:var(--shadow)}
        summary{cursor:pointer;color:var(--soft)}
        pre{margin:12px 0 0;overflow-x:auto}
        pre b{font-weight:600}
        pre i{color:var(--faint);font-style:normal}
        footer{margin-top:48px;color:var(--faint);font-size:12.5px}
        @media (max-width:760px){main{padding:26px 14px 24px}.charts{grid-template-columns:minmax(0,1fr)}
        h1{font-size:27px}h2{margin-top:34px}.figures{grid-template-columns:1fr 1fr}.figures div{padding:14px 16px 12px}
        .figures b{font-size:25px}dl{grid-template-columns:repeat(2,minmax(0,1fr));gap:12px 18px}
        .chart,.card{padding:16px 14px 12px}.frame{grid-template-columns:38px minmax(0,1fr)}
        .pictures{grid-template-columns:repeat(2,minmax(0,1fr));gap:10px}
        .picture figcaption{flex-direction:column;gap:0;padding:8px 11px 9px}}
        @media print{body{background:#fff}section{break-inside:avoid-page}.toggles{display:none}}
        """

    /// Values under the pointer, and pictures in large on a click.
    static let script = """
        for (const figure of document.querySelectorAll('.chart')) {
          const data = JSON.parse(figure.querySelector('script').textContent);
          const plot = figure.querySelector('.plot'), rule = plot.querySelector('.rule'), tip = plot.querySelector('.tip');
          const nearest = (xs, x) => xs.reduce((best, v, i) => Math.abs(v - x) < Math.abs(xs[best] - x) ? i : best, 0);
          plot.addEventListener('pointermove', event => {
            const box = plot.getBoundingClientRect(), span = data.high - data.low;
            const pointed = data.low + (event.clientX - box.left) / box.width * span;
            const found = data.series.map(s => [s, nearest(s.x, pointed)]);
            const x = found.map(([s, i]) => s.x[i]).reduce((a, b) => Math.abs(b - pointed) < Math.abs(a - pointed) ? b : a);
            const head = document.createElement('b');
            const at = +x.toPrecision(4);
            head.textContent = data.unit === 'step' ? 'step ' + at : at + ' ' + data.unit;
            const rows = found.filter(([s, i]) => Math.abs(s.x[i] - x) <= span / 60).map(([s, i]) => {
              const row = document.createElement('span'), value = document.createElement('em');
              row.className = 'c' + s.color;
              value.textContent = s.y[i].toFixed(s.decimals);
              row.append(s.name, value);
              return row;
            });
            tip.replaceChildren(head, ...rows);
            rule.hidden = tip.hidden = false;
            const left = (x - data.low) / span * box.width, right = left > box.width / 2;
            rule.style.left = left + 'px';
            tip.style.left = right ? 'auto' : left + 12 + 'px';
            tip.style.right = right ? box.width - left + 12 + 'px' : 'auto';
          });
          plot.addEventListener('pointerleave', () => { rule.hidden = tip.hidden = true; });
        }
        const dialog = document.querySelector('dialog');
        for (const picture of document.querySelectorAll('.picture')) {
          const show = () => { dialog.replaceChildren(picture.cloneNode(true)); dialog.showModal(); };
          picture.addEventListener('click', show);
          picture.addEventListener('keydown', event => { if (event.key === 'Enter') show(); });
        }
        dialog?.addEventListener('click', () => dialog.close());
        """
}
