// The slider and the strip choose which grid is shown large. Without scripts the last one is, and the strip is all there is.
for (const samples of document.querySelectorAll(".samples")) {
  const large = samples.querySelector(".stage img");
  const caption = samples.querySelector(".stage figcaption");
  const slider = samples.querySelector("input");
  const items = [...samples.querySelectorAll(".strip li")];
  if (!large || items.length < 2) continue;
  const show = (index) => {
    large.src = items[index].querySelector("img").src;
    caption.textContent = items[index].textContent.trim();
    slider.value = index;
    items.forEach((item, i) => item.classList.toggle("shown", i === index));
  };
  slider.hidden = false;
  slider.addEventListener("input", () => show(Number(slider.value)));
  items.forEach((item, i) => item.addEventListener("click", () => show(i)));
  show(items.length - 1);
}
