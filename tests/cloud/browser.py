"""A person at a browser: Debian's Chromium, without a screen."""
import contextlib
import os
import pathlib

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from cloud import wait

HORIZON = 'http://127.0.0.1:8080'
WIDE, PHONE = (1400, 1000), (420, 900)
PICTURES = os.environ.get('RATOON_PICTURES')  # a folder: `make screenshots` keeps there what the tests have seen


class Browser:
    def __init__(self, size=WIDE):
        options = webdriver.ChromeOptions()
        options.binary_location = '/usr/bin/chromium'
        for flag in ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', f'window-size={size[0]},{size[1]}',
                     # There is a mouse, as the style sheets ask.
                     'blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4',
                     'force-prefers-reduced-motion', 'no-proxy-server', 'hide-scrollbars'):
            options.add_argument(f'--{flag}')
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = webdriver.Chrome(service=webdriver.chrome.service.Service('/usr/bin/chromedriver'), options=options)
        self.driver.set_page_load_timeout(90)

    def end(self):
        self.driver.quit()

    # Going somewhere

    def go(self, path):
        self.driver.get(HORIZON + path)
        return self

    def log_in(self, person):
        self.go('/auth/login/')
        self.type('#id_username', person.user)
        self.type('#id_password', person.password)
        self.press('#loginBtn')
        wait(f'{person.user} to be logged in', lambda: '/auth/login' not in self.driver.current_url, 90)
        return self

    # Looking

    def find(self, selector, text=None):
        """What can be seen, by CSS or by XPath, and by its text if that is given; an empty list if there is none."""
        with contextlib.suppress(exceptions.StaleElementReferenceException):  # the page is being drawn anew
            found = self.driver.find_elements(By.XPATH if selector.startswith('//') else By.CSS_SELECTOR, selector)
            return [one for one in found if one.is_displayed() and (text is None or text in one.text)]
        return []

    def see(self, selector, text=None, patience=60):
        """Waits until it can be seen."""
        return wait(f'"{text or ""}" in {selector} at {self.driver.current_url}', lambda: self.find(selector, text), patience)[0]

    def complaints(self):
        """What the page has said to the console about itself; not what others' pages say."""
        return [entry['message'] for entry in self.driver.get_log('browser') if 'server_snapshots' in entry['message']]

    # Doing

    def type(self, selector, words):
        field = self.see(selector)
        field.clear()
        field.send_keys(words)

    def press(self, selector, text=None, pointing_at=None):
        """Presses what can be seen, if need be only where one points at something else."""
        def pressed():
            with contextlib.suppress(exceptions.StaleElementReferenceException, exceptions.ElementClickInterceptedException,
                                     exceptions.ElementNotInteractableException):
                for one in self.find(pointing_at)[:1] if pointing_at else ():
                    ActionChains(self.driver).move_to_element(one).perform()
                for one in self.find(selector, text)[:1]:
                    one.click()
                    return True
        wait(f'"{text or ""}" in {selector} to be pressed at {self.driver.current_url}', pressed, 60)

    def size(self, size):
        self.driver.set_window_size(*size)

    def picture(self, name):
        """For the documentation."""
        if PICTURES:
            pathlib.Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.keep(f'{PICTURES}/{name}.png')

    def keep(self, path):
        """What is to be seen, as a picture."""
        self.driver.save_screenshot(str(path))
