/** Dark or light for /docs: swagger-ui knows both, and is told by a class which one is wanted. */

const DARK = "dark-mode";

/** Follow the choice of dark or light of the system, now and whenever it changes. */
export function followTheme(root: HTMLElement, dark: MediaQueryList): void {
  const follow = () => root.classList.toggle(DARK, dark.matches);
  follow();
  dark.addEventListener("change", follow);
}
