// Loaded as a classic script in the head: the theme must be known before the first paint.
(() => {
  const prefersLight = matchMedia("(prefers-color-scheme: light)");
  const chosen = () => {
    try { return localStorage.getItem("roost-theme"); } catch { return null; }
  };
  const apply = () => {
    document.documentElement.dataset.theme = chosen() ?? (prefersLight.matches ? "light" : "dark");
  };
  prefersLight.addEventListener("change", apply);
  addEventListener("storage", apply);
  apply();
})();
